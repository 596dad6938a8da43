"""One network for all λ: trained once, whoever comes first, and tested as a run for each λ."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from torch import nn

from bench.inspection.robustness import retest
from bench.store.checkpoints import save_network
from bench.store.folder import Folder
from bench.store.progress import Progress
from bench.store.standing import Status

from .conftest import (
    DEMO,
    ROOT,
    Command,
    at,
    numbers,
    read_rows,
    read_summary,
    run_folders,
    run_process,
    with_cache,
    write_summary,
)

NETWORK = [*DEMO, "metric=mse", "model.conditioned=lambda", "trainer.lr=0.02"]
DISTURBED = [
    *DEMO,
    "metric=mse",
    "metric.name=disturbed",
    "metric._target_=custom_parts.Disturbed",
    "regularizer.weight=1",
    "model.conditioned=lambda",
    "trainer.steps=12",
    "trainer.checkpoint_every=2",
]


def networks(results: Path) -> list[Path]:
    """Folders of all networks, finished or not."""
    return sorted(p for p in results.glob("networks/*") if not p.name.startswith("."))


def only_network(results: Path) -> Path:
    (folder,) = networks(results)
    return folder


@pytest.fixture(scope="module")
def swept_once(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Path:
    results = with_cache(tmp_path_factory.mktemp("conditioned") / "results", demo_cache)
    outcome = run_process("-m", *NETWORK, "regularizer.scale=0.25,1,4", at(results))
    assert outcome.code == 0, outcome.err
    return results


@pytest.fixture
def swept(swept_once: Path, empty_results: Path) -> Path:
    """Results with three runs of one network."""
    return shutil.copytree(swept_once, empty_results, symlinks=True)


def test_sweep_trains_one_network_and_tests_it_under_each_weight(
    swept: Path, run: Command, bench: Command
) -> None:
    folders = run_folders(swept)
    assert [folder.name.split("-")[2] for folder in folders] == ["0.005", "0.02", "0.08"]
    network = only_network(swept)
    assert network.name.startswith("demo-mse-lambda-seed0-")
    told = json.loads((network / "summary.json").read_text())
    assert told["steps"] == 6
    assert "weight" not in told
    summaries = [read_summary(folder) for folder in folders]
    for folder, summary in zip(folders, summaries, strict=True):
        assert summary["network"]["name"] == network.name
        assert summary["steps"] == 6
        assert "training_seconds" not in summary
        assert len(read_rows(folder / "validation.csv")) == 2
        for name in ("best.safetensors", "history.csv"):
            assert (folder / name).read_bytes() == (network / name).read_bytes()
    assert len({summary["variant"] for summary in summaries}) == 1
    dice = {summary["validation"]["regularization"] for summary in summaries}
    assert len(dice) == 3  # each under its λ

    written = (network / "best.safetensors").stat().st_mtime_ns
    again = run("-m", *NETWORK, "regularizer.scale=0.25,1,4,8", at(swept))
    assert again.code == 0, again.err
    assert len(run_folders(swept)) == 4
    assert (only_network(swept) / "best.safetensors").stat().st_mtime_ns == written
    report = bench("report", "--results", str(swept))
    assert report.code == 0, report.err
    assert "4 finished runs" in report.out
    assert "missing" not in report.out


def test_plan_counts_one_training(results: Path, run: Command) -> None:
    guide = run(*DEMO, "metric=mse", at(results))
    assert guide.code == 0, guide.err
    (folder,) = run_folders(results)
    write_summary(folder, training_seconds=3600)
    sweep = ["-m", "seed=1,2", "regularizer.scale=0.5,1,2", "plan=true", at(results)]
    plain = run(*DEMO, "metric=mse", *sweep)
    assert "time: about 6.0 h" in plain.out
    planned = run(*NETWORK, *sweep)
    assert planned.code == 0, planned.err
    assert "time: about 2.0 h" in planned.out
    (line,) = (line for line in planned.out.splitlines() if line.startswith("networks to train"))
    assert line.count("demo-mse-lambda-seed") == 2
    assert networks(results) == []


def test_plan_refuses_networks_that_cannot_take_a_weight(results: Path, run: Command) -> None:
    network = [o for o in NETWORK if not o.startswith("model.channels")]  # of U-Nets
    swept = ["-m", *network, "model=segresnet,swin_unetr", at(results)]
    planned = run(*swept, "plan=true")
    assert planned.code == 0, planned.err
    assert "2 skipped" in planned.out
    assert "model=segresnet cannot take λ" in planned.out
    assert "model=swin_unetr cannot take λ" in planned.out
    assert "networks to train" not in planned.out
    outcome = run(*swept)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("cannot take λ, which needs stages of bench.models.unet") == 2
    assert "2 skipped" in outcome.out.splitlines()[-1]
    assert {Folder(folder).status() for folder in run_folders(results)} == {Status.SKIPPED}


@pytest.mark.parametrize("word", ["plan=true", "force=false"])
def test_method_that_is_no_network_is_refused_before_any_run(
    word: str, results: Path, run: Command
) -> None:
    models = ["model=voxelmorph,variational", "+model.conditioned=lambda"]
    outcome = run("-m", *DEMO, "metric=mse", *models, word, at(results))
    assert outcome.code != 0
    assert "model.conditioned=lambda: does not apply to model=variational" in outcome.err
    assert run_folders(results) == []


def test_reset_says_that_the_network_stays(
    results: Path, run: Command, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:15")
    run_process(*DISTURBED, at(results))
    (folder,) = run_folders(results)
    outcome = bench("runs", "--results", str(results), "reset", folder.name)
    assert outcome.code == 0, outcome.err
    assert "its network learns λ of 0.125 to 8 for other runs as well" in outcome.out
    assert (only_network(results) / "last.pt").exists()


def test_cases_of_another_network_are_computed_again(swept: Path, run: Command) -> None:
    folder = run_folders(swept)[0]
    before = read_summary(folder)
    (folder / "summary.json").unlink()
    again = [*NETWORK, "regularizer.scale=0.25", at(swept)]

    bogus = {**read_rows(folder / "validation.csv")[0], "dice": 1.0, "loss": 99.0}
    Progress(folder / "progress.json").add("validation", bogus)
    (folder / "best.safetensors").write_bytes(b"of a network that has been deleted since")
    outcome = run(*again)
    assert outcome.code == 0, outcome.err
    assert "its network is another now; the suite computes its cases again" in outcome.out
    assert numbers(read_summary(folder)) == numbers(before)


def test_trained_network_is_not_planned_again(swept: Path, run: Command) -> None:
    planned = run("-m", *NETWORK, "regularizer.scale=1,8", "plan=true", at(swept))
    assert planned.code == 0, planned.err
    assert "networks to train" not in planned.out
    assert "1 finished, 1 missing" in planned.out


def test_killed_training_goes_on_to_the_same_network(
    tmp_path: Path, results: Path, demo_cache: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = with_cache(tmp_path / "undisturbed", demo_cache)
    assert run(*DISTURBED, at(undisturbed)).code == 0
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:15")  # each pair of a batch counts
    assert run_process(*DISTURBED, at(results)).code == -signal.SIGKILL
    assert (only_network(results) / "last.pt").exists()
    assert not (only_network(results) / "summary.json").exists()

    monkeypatch.delenv("TEST_DISTURBANCE")
    planned = run("-m", *DISTURBED, "seed=0", "plan=true", at(results))
    assert "1 resumable" in planned.out
    outcome = run(*DISTURBED, at(results))
    assert outcome.code == 0, outcome.err
    assert "disturbed on demo: continuing from step 6 of 12" in outcome.out
    found, expected = (only_network(place) for place in (results, undisturbed))
    assert found.name == expected.name
    assert not (found / "last.pt").exists()
    weights = [(place / "best.safetensors").read_bytes() for place in (found, expected)]
    assert weights[0] == weights[1]
    first, second = (read_summary(run_folders(place)[0]) for place in (results, undisturbed))
    assert numbers(first) == numbers(second)


def test_interrupted_training_says_how_to_go_on(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGINT:15")
    stopped = run_process(*DISTURBED, at(results))
    assert stopped.code == 130
    assert stopped.line == (
        "Interrupted at step 8 of 12; the state is saved. The same command continues from there."
    )


def test_two_processes_with_two_weights_train_once(results: Path) -> None:
    commands = [
        [sys.executable, str(ROOT / "run.py"), *NETWORK, f"regularizer.scale={scale}", at(results)]
        for scale in (0.5, 2)
    ]
    processes = [
        subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for c in commands
    ]
    ended = [(*process.communicate(timeout=200), process.returncode) for process in processes]
    assert [code for *_, code in ended] == [0, 0], ended
    first, second = (read_summary(folder) for folder in run_folders(results))
    assert first["network"] == second["network"]
    assert only_network(results).name == first["network"]["name"]


def test_damaged_network_is_made_again(swept: Path, run: Command) -> None:
    best = only_network(swept) / "best.safetensors"
    whole = best.read_bytes()
    best.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    planned = run("-m", *NETWORK, "regularizer.scale=2", "plan=true", at(swept))
    assert f"networks to train first, each once for all λ: {best.parent.name}" in planned.out
    outcome = run(*NETWORK, "regularizer.scale=2", at(swept))
    assert outcome.code == 0, outcome.err
    assert "the suite makes the network again" in outcome.out
    assert best.read_bytes() == whole


def test_network_of_another_range_is_refused(swept: Path, run: Command) -> None:
    other = [*NETWORK, "model.lambda_range=[0.01,0.5]", "regularizer.weight=0.02", at(swept)]
    folder = only_network(swept)
    planned = run("-m", *other, "plan=true").out
    (name,) = (word for word in planned.split() if word.startswith("demo-mse-lambda"))
    moved = folder.rename(folder.with_name(name))
    outcome = run(*other)
    assert outcome.code == 1
    held = f"{moved}: holds results of another id, {folder.name.split('-')[-1]}. Give the folder"
    assert held in outcome.err
    assert (moved / "best.safetensors").exists()
    moved.rename(folder)
    assert run(*other).code == 0
    assert len(networks(swept)) == 2


def test_network_without_facts_is_made_again(swept: Path, run: Command) -> None:
    summary = read_summary(only_network(swept))
    for key in ("checksum", "training_seconds"):
        del summary[key]
    (only_network(swept) / "summary.json").write_text(json.dumps(summary))
    outcome = run(*NETWORK, "regularizer.scale=2", at(swept))
    assert outcome.code == 0, outcome.err
    assert "is damaged (summary.json lacks training_seconds); the suite makes" in outcome.out


def test_network_of_another_version_is_named_and_trained_again_once_it_is_gone(
    swept: Path, run: Command
) -> None:
    folder = only_network(swept)
    best = folder / "best.safetensors"
    save_network(best, nn.Linear(1, 1), {})
    write_summary(folder)
    outcome = run(*NETWORK, "regularizer.scale=2", at(swept))
    assert outcome.code == 1
    words = f"{best}: is not a readable checkpoint of this network (RuntimeError). Delete its fold"
    assert words in outcome.err
    (failed,) = (f for f in (swept / "runs").glob("demo-*") if (f / "failure.json").exists())
    assert not (failed / best.name).exists()  # it would be taken for the run's own
    shutil.rmtree(folder)
    assert run(*NETWORK, "regularizer.scale=2", at(swept)).code == 0
    assert only_network(swept) == folder


def test_refinement_takes_the_network_that_is_there(swept: Path, run: Command) -> None:
    outcome = run(*NETWORK, "model.refine=2", at(swept))
    assert outcome.code == 0, outcome.err
    only_network(swept)
    plain, refined = (f for f in run_folders(swept) if f.name.split("-")[2] == "0.02")
    scores = [read_summary(folder)["scores"]["similarity"]["mean"] for folder in (plain, refined)]
    assert scores[0] != scores[1]


def test_further_weights_of_a_sweep_stay_within_the_range(results: Path, run: Command) -> None:
    weights = ["model.lambda_range=[0.014,0.021]", "regularizer.weight=0.015,0.02", "refine=5"]
    outcome = run("-m", *NETWORK, *weights, at(results))
    assert outcome.code == 0, outcome.err
    tried = [float(folder.name.split("-")[2]) for folder in run_folders(results)]
    assert min(tried) == 0.014 or max(tried) == 0.021
    assert "at the border of the weights tried, where model.lambda_range ends" in outcome.out
    assert all(0.014 <= weight <= 0.021 for weight in tried)


def test_robustness_is_tested_under_another_weight_and_not_stored(
    swept: Path, bench: Command
) -> None:
    first, _, last = run_folders(swept)
    ask = ["robustness", first.name, "--levels", "0", "--results", str(swept)]
    outcome = bench(*ask, "--weight", "0.08")
    assert outcome.code == 0, outcome.err
    assert f"{first.name} at λ = 0.08" in outcome.out
    assert not (first / "robustness.csv").exists()
    assert bench(*ask).code == 0
    other = retest(Folder(first), "noise", [0], weight=0.08).drop(columns="seconds")
    assert len(read_rows(first / "robustness.csv")) == len(other) == 2
    expected, own = (retest(Folder(folder), "noise", [0])[[*other]] for folder in (last, first))
    assert other["similarity"].tolist() == pytest.approx(expected["similarity"].tolist(), abs=1e-9)
    assert other["similarity"].tolist() != pytest.approx(own["similarity"].tolist(), abs=1e-9)


def write_pair(folder: Path) -> list[str]:
    """Two images, as arguments of the command."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    arguments = []
    for role in ("moving", "fixed"):
        image = draw.random((8, 10)).repeat(4, 0).repeat(4, 1).astype(np.float32)
        path = folder / f"{role}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image[..., None], np.diag([2, 2, 2, 1])), path)
        arguments += [f"--{role}", str(path)]
    return arguments


def test_files_are_registered_under_any_weight_of_the_range(
    swept: Path, tmp_path: Path, bench: Command
) -> None:
    first, _, last = (folder.name for folder in run_folders(swept))
    pair = write_pair(tmp_path / "pair")

    def displacement(run: str, *weight: str) -> bytes:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        ended = bench("register", run, *pair, "--out", str(out), "--results", str(swept), *weight)
        assert ended.code == 0, ended.err
        said, origin = "".join(weight[1:]), json.loads((out / "origin.json").read_text())
        assert (f" at λ = {said}: " in ended.out) == ("weight" in origin) == (said not in ("", own))
        (file,) = out.glob("displacement*")
        return file.read_bytes()

    own = "0.005"
    plain = displacement(first)
    assert displacement(first, "--weight", own) == plain
    assert displacement(first, "--weight", "0.08") == displacement(last) != plain
    assert displacement(first, "--weight", "0.03") not in (plain, displacement(last))


@pytest.mark.parametrize("command", ["register", "robustness"])
def test_weight_that_was_not_learned_is_refused(
    command: str, swept: Path, tmp_path: Path, run: Command, bench: Command
) -> None:
    name = run_folders(swept)[0].name
    pair = write_pair(tmp_path / "pair")
    more = [*pair, "--out", str(tmp_path / "out")] if command == "register" else ["--levels", "0"]
    asked = bench(command, name, *more, "--results", str(swept), "--weight", "3")
    assert asked.line == (
        f"--weight 3: the network of {name} learned λ of 0.0025 to 0.16. Choose a λ in this range."
    )
    assert run(*DEMO, "metric=mse", at(swept)).code == 0
    (plain,) = (f.name for f in run_folders(swept) if "network" not in read_summary(f))
    asked = bench(command, plain, *more, "--results", str(swept), "--weight", "0.1")
    assert asked.line == (
        f"--weight 0.1: {plain} learned one λ only. Name a run with model.conditioned=lambda."
    )


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["regularizer.scale=9"], "regularizer.scale=9 (λ = 0.18): is outside 0.0025"),
        (["model.lambda_range=[0,1]"], "model.lambda_range=[0,1]: must ascend and be above 0"),
        (["model.lambda_range=[1,0.1]"], "model.lambda_range=[1,0.1]: must ascend and be above 0"),
        (["model=segresnet"], "model.conditioned=lambda: model=segresnet cannot take λ"),
    ],
)
def test_bad_setting_is_refused_in_a_line(
    overrides: list[str], line: str, results: Path, run: Command
) -> None:
    given = [one for one in NETWORK if overrides != ["model=segresnet"] or "channels" not in one]
    outcome = run(*given, *overrides, at(results))
    assert outcome.line.startswith(line)
    assert run_folders(results) == networks(results) == []
