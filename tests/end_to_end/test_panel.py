"""`python -m bench panel`: one test pair under several trained networks."""

import shutil
from pathlib import Path

import pytest
from matplotlib.image import imread

from .conftest import DEMO, Command, at, run_folders, with_cache


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Path:
    return with_cache(tmp_path_factory.mktemp("finished") / "results", demo_cache)


@pytest.fixture
def trained(finished: Path, tmp_path: Path, run: Command) -> Path:
    """A copy of the results of two runs."""
    if not (finished / "runs").exists():
        outcome = run("-m", "metric=mse,ncc", *DEMO, at(finished))
        assert outcome.code == 0, outcome.err
    return shutil.copytree(finished, tmp_path / "trained", symlinks=True)


def test_panel_has_a_column_for_each_network_and_is_in_the_report(
    trained: Path, bench: Command
) -> None:
    one, other = (folder.name for folder in run_folders(trained))
    assert bench("panel", one, "--results", str(trained)).code == 0
    narrow = imread(trained / "panels" / "demo.png").shape
    outcome = bench("panel", one, other, "--results", str(trained))
    assert outcome.out.split() == [str(trained / "panels" / f"demo{s}") for s in (".png", ".pdf")]
    wide = imread(trained / "panels" / "demo.png")
    assert wide.shape[1] > 1.3 * narrow[1]
    assert bench("report", "--results", str(trained)).code == 0
    copied = trained / "report" / "figures" / "panel-demo.png"
    assert copied.read_bytes() == (trained / "panels" / "demo.png").read_bytes()
    assert 'id="panel-demo"' in (trained / "report" / "index.html").read_text()


def test_pair_is_named_and_must_be_one(trained: Path, tmp_path: Path, bench: Command) -> None:
    folder = run_folders(trained)[0]
    moving, fixed = (folder / "pairs.csv").read_text().splitlines()[1].split(",")[:2]
    command = ("panel", folder.name, "--results", str(trained), "--out", str(tmp_path / "own"))
    assert bench(*command, "--pair", f"{moving},{fixed}").code == 0
    assert (tmp_path / "own.png").exists()
    assert f"--pair {moving},nobody: is no test pair of demo" in (
        bench(*command, "--pair", f"{moving},nobody").line
    )
    assert "--pair nobody: must be MOVING,FIXED" in bench(*command, "--pair", "nobody").line


def test_unfinished_runs_and_other_pairs_are_refused(trained: Path, bench: Command) -> None:
    one, other = run_folders(trained)
    rows = (one / "pairs.csv").read_text().splitlines()
    (one / "pairs.csv").write_text("\n".join(rows[:-1]) + "\n")
    command = ("panel", other.name, one.name, "--results", str(trained))
    assert f"{one.name}: has other test pairs than {other.name}" in bench(*command).line
    (one / "summary.json").unlink()
    assert f"{one.name}: has not finished; there is nothing to draw" in bench(*command).line
    assert not (trained / "panels").exists()
