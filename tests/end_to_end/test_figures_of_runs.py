"""`python -m bench panel`, `landscape`, `features`: figures of one test pair under several runs."""

import shutil
from pathlib import Path

import pytest
from matplotlib.image import imread

from .conftest import DEMO, Command, at, run_folders, with_cache, write_summary

KINDS = ("panel", "landscape", "features")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Path:
    return with_cache(tmp_path_factory.mktemp("finished") / "results", demo_cache)


@pytest.fixture
def trained(finished: Path, tmp_path: Path, run: Command) -> Path:
    """A copy of the results of two runs, of mse and deepsim_ae."""
    if not (finished / "runs").exists():
        for metric in (["metric=mse"], ["metric=deepsim_ae", "metric.levels=[1,2]"]):
            outcome = run(*metric, *DEMO, at(finished))
            assert outcome.code == 0, outcome.err
    return shutil.copytree(finished, tmp_path / "trained", symlinks=True)


def named(results: Path) -> tuple[str, str]:
    """Names of the runs of mse and deepsim_ae."""
    deepsim, mse = sorted(folder.name for folder in run_folders(results))
    return mse, deepsim


def size(picture: Path) -> tuple[int, int]:
    return imread(picture).shape[:2]


def test_panel_has_a_column_for_each_network(trained: Path, bench: Command) -> None:
    one, other = named(trained)
    drawn = trained / "panels" / "panel-demo.png"
    assert bench("panel", one, "--results", str(trained)).code == 0
    narrow = size(drawn)
    outcome = bench("panel", one, other, "--results", str(trained))
    assert outcome.out.split() == [str(drawn), str(drawn.with_suffix(".pdf"))]
    assert size(drawn)[1] > 1.3 * narrow[1]


def test_report_shows_what_was_drawn(trained: Path, bench: Command) -> None:
    mse, deepsim = named(trained)
    for kind in KINDS:
        runs = [deepsim] if kind == "features" else [mse, deepsim]
        outcome = bench(kind, *runs, "--results", str(trained))
        assert outcome.code == 0, outcome.err
    assert bench("report", "--results", str(trained)).code == 0
    page = (trained / "report" / "index.html").read_text()
    for kind in KINDS:
        drawn = trained / "panels" / f"{kind}-demo.png"
        copied = trained / "report" / "figures" / drawn.name
        assert copied.read_bytes() == drawn.read_bytes()
        assert f'id="figure-{kind}-demo"' in page


def test_features_have_a_row_for_each_level(trained: Path, bench: Command) -> None:
    mse, deepsim = named(trained)
    assert bench("features", deepsim, "--results", str(trained)).code == 0
    height, width = size(trained / "panels" / "features-demo.png")
    assert height > width / 5  # two levels, seven columns
    line = bench("features", mse, "--results", str(trained)).line
    assert f"{mse}: mse has no extractor, so it has no features." in line


def test_landscape_takes_one_run_of_each_metric(trained: Path, bench: Command) -> None:
    mse, _ = named(trained)
    line = bench("landscape", mse, mse, "--results", str(trained)).line
    assert f"{mse}: is a second run of mse. Name one run per metric." in line


@pytest.mark.parametrize("kind", KINDS)
def test_pair_is_named_and_must_be_one(
    kind: str, trained: Path, tmp_path: Path, bench: Command
) -> None:
    folder = next(f for f in run_folders(trained) if "deepsim" in f.name)
    moving, fixed = (folder / "pairs.csv").read_text().splitlines()[1].split(",")[:2]
    command = (kind, folder.name, "--results", str(trained), "--out", str(tmp_path / "own"))
    assert bench(*command, "--pair", f"{moving},{fixed}").code == 0
    assert (tmp_path / "own.png").exists()
    assert f"--pair {moving},nobody: is not a test pair of {folder.name}" in (
        bench(*command, "--pair", f"{moving},nobody").line
    )
    assert "--pair nobody: must be MOVING,FIXED" in bench(*command, "--pair", "nobody").line


@pytest.mark.parametrize("kind", KINDS)
def test_unfinished_runs_and_other_pairs_are_refused(
    kind: str, trained: Path, bench: Command
) -> None:
    one, other = run_folders(trained)
    rows = (one / "pairs.csv").read_text().splitlines()
    (one / "pairs.csv").write_text("\n".join(rows[:-1]) + "\n")
    write_summary(one)
    command = (kind, other.name, one.name, "--results", str(trained))
    assert f"{one.name}: has other test pairs than {other.name}" in bench(*command).line
    write_summary(one, task="perception")
    (one / "pairs.csv").rename(one / "images.csv")
    assert bench(*command).line == (
        f"{one.name}: is a run of task=perception; this command needs a run of task=registration."
    )
    (one / "summary.json").unlink()
    assert f"{one.name}: has not finished. Run its command again" in bench(*command).line
    assert not (trained / "panels").exists()
