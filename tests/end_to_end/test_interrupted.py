"""Runs that die on the way: the same command goes on, to the same numbers."""

import json
import re
import signal
from pathlib import Path

import pytest

from .conftest import (
    DEMO,
    Command,
    at,
    numbers,
    only_run,
    read_rows,
    read_summary,
    run_folders,
    run_process,
    with_cache,
)

RUN = [
    "metric=mse",
    "metric.name=disturbed",
    "metric._target_=custom_parts.Disturbed",
    *DEMO,
    "trainer.steps=12",
    "trainer.checkpoint_every=2",
    "model.dropout=true",
]


@pytest.fixture
def undisturbed(tmp_path: Path, demo_cache: Path, run: Command) -> dict:
    """What the same run records when nothing happens to it."""
    results = with_cache(tmp_path / "undisturbed", demo_cache)
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    return read_summary(only_run(results))


def status(results: Path, bench: Command) -> str:
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    return row["status"]


def test_killed_run_goes_on_from_its_last_checkpoint(
    results: Path,
    undisturbed: dict,
    run: Command,
    bench: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:8")
    assert run_process(*RUN, at(results)).code == -signal.SIGKILL
    folder = only_run(results)
    assert (folder / "last.pt").exists()
    assert not (folder / "summary.json").exists()
    assert status(results, bench) == "interrupted"

    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    assert "disturbed on demo: continuing from step 6 of 12" in outcome.out
    summary = read_summary(folder)
    assert numbers(summary) == numbers(undisturbed)
    assert not (folder / "last.pt").exists()
    assert only_run(results) == folder


def test_run_killed_before_its_first_checkpoint_starts_again(
    results: Path, undisturbed: dict, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:1")
    assert run_process(*RUN, at(results)).code == -signal.SIGKILL
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    assert "continuing" not in outcome.out
    assert numbers(read_summary(only_run(results))) == numbers(undisturbed)


def test_damaged_checkpoint_starts_again_and_says_so(
    results: Path, undisturbed: dict, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "error:8")
    assert run(*RUN, at(results)).code == 1
    monkeypatch.delenv("TEST_DISTURBANCE")
    state = only_run(results) / "last.pt"
    state.write_bytes(state.read_bytes()[:1000])
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    assert f"{state}: cannot be read" in outcome.out
    assert "training starts from the beginning" in outcome.out
    assert numbers(read_summary(only_run(results))) == numbers(undisturbed)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_run_saves_its_state_and_goes_on(
    name: str,
    results: Path,
    undisturbed: dict,
    run: Command,
    bench: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", f"{name}:7")
    stopped = run_process(*RUN, at(results))
    assert stopped.code == 130
    assert stopped.line == (
        "Interrupted at step 7 of 12; the state is saved. The same command continues from there."
    )
    assert status(results, bench) == "interrupted"

    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    assert "disturbed on demo: continuing from step 7 of 12" in outcome.out
    assert status(results, bench) == "finished"
    assert numbers(read_summary(only_run(results))) == numbers(undisturbed)


def test_interrupted_forced_run_goes_on_too(
    results: Path, undisturbed: dict, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message promises it, so it holds for force=true as well."""
    command = [*RUN, at(results), "force=true"]
    assert run(*command).code == 0
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGINT:7")
    assert run(*command).code == 130
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert "continuing from step 7 of 12" in outcome.out
    assert numbers(read_summary(only_run(results))) == numbers(undisturbed)
    assert len(list(results.rglob("summary.json"))) == 1


def test_interrupt_ends_a_sweep(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGINT:3")
    outcome = run("-m", *RUN, "seed=0,1", at(results))
    assert outcome.code == 130
    assert "Interrupted at step 3 of 12" in outcome.err
    assert [path.name.split("-")[3] for path in run_folders(results)] == ["seed0"]


DIRECT = [
    "model=direct",
    "model.spacing=[4]",
    "model.pooling=[1]",
    "model.steps=[3]",
    "model.rate=[1]",
    *(word for word in RUN if not word.startswith(("model.", "trainer."))),
    "trainer.progress=false",
    "dataset.subjects_per_split={train:2,val:2,test:6}",
]


def table(results: Path) -> list[dict]:
    """Test pairs as a run records them, but for the seconds."""
    rows = read_rows(only_run(results) / "pairs.csv")
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows]


@pytest.fixture
def registered(tmp_path: Path, demo_cache: Path, run: Command) -> list[dict]:
    """The test pairs of a run without training to which nothing happens."""
    results = with_cache(tmp_path / "registered", demo_cache)
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    return table(results)


def test_run_without_training_killed_twice_gives_the_same_rows(
    results: Path, registered: list[dict], run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:10")
        assert run_process(*DIRECT, at(results)).code == -signal.SIGKILL
        assert (only_run(results) / "progress.json").exists()
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    assert table(results) == registered
    assert not (only_run(results) / "progress.json").exists()


def test_interrupted_run_without_training_says_how_many_pairs_are_done(
    results: Path, registered: list[dict], run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two validation pairs and six test pairs, three steps each."""
    done = "after 4 of 8 pairs"
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGINT:14")
    stopped = run_process(*DIRECT, at(results))
    assert (stopped.code, stopped.line) == (130, f"Interrupted. The same command continues {done}.")
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    assert f"disturbed direct on demo: continuing {done}" in outcome.out
    assert table(results) == registered


def test_terminal_shows_the_pairs_that_are_done(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["trainer.progress=true" if "progress" in word else word for word in DIRECT]
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as rich takes it
    outcome = run(*command, at(results))
    assert outcome.code == 0
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", outcome.err)
    for stage, count in (("validation", 2), ("test", 6)):
        bars = rf"disturbed direct on demo: {stage} pairs \S+ (\d)/{count}(?: \d+:\d\d left)?"
        assert re.findall(bars, shown)[0] == "0"
        assert set(map(int, re.findall(bars, shown))) == set(range(count + 1))
    assert re.search(r"3/6 0:\d\d left", shown)

    monkeypatch.delenv("FORCE_COLOR")
    assert run(*command, at(results), "force=true").err == ""


def test_interrupted_before_the_first_pair_starts_again(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGINT:1")
    assert (
        run_process(*DIRECT, at(results)).line
        == "Interrupted. Run the same command to start again."
    )
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    assert "continuing" not in outcome.out


def test_training_interrupted_in_its_test_goes_on(
    results: Path, undisturbed: dict, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bench.tasks.registration.registration.draw_pair", interrupt)
        line = run(*RUN, at(results)).line
    assert line == "Interrupted. The same command continues from the last saved state."
    outcome = run(*RUN, at(results))
    assert outcome.code == 0, outcome.err
    assert "continuing from step 12 of 12" in outcome.out
    assert numbers(read_summary(only_run(results))) == numbers(undisturbed)


def test_damaged_progress_is_named_and_its_cases_are_computed_again(
    results: Path, registered: list[dict], run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:16")
    assert run_process(*DIRECT, at(results)).code == -signal.SIGKILL
    progress = only_run(results) / "progress.json"
    content = progress.read_text()
    assert '"dice": 0.' in content
    progress.write_text(content.replace('"dice": 0.', '"dice": 1.'))
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    assert f"{progress}: is damaged" in outcome.out
    assert table(results) == registered
