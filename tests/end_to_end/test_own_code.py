"""A metric of the user's own whose code is edited between commands."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import DEMO, Command, at, only_run, read_summary, run_folders

METRIC = """
from edited_helper import SCALE

class L1:
    def __call__(self, pair):
        return SCALE * (pair.warped - pair.fixed).abs().mean()
"""
CHOSEN = ["metric=custom", "metric.name=l1", "metric._target_=edited_metric.L1"]
TRAINED = [*DEMO, *CHOSEN, "regularizer.weight=0.1"]
DIRECT = [word for word in TRAINED if not word.startswith("model.channels")]
DIRECT += ["model=direct", "model.steps=[2,1,1,1]"]


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module that the metric imports."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "edited_metric.py").write_text(METRIC)
    monkeypatch.syspath_prepend(str(folder))
    edit(folder / "edited_helper.py", "SCALE = 1\n")
    yield folder / "edited_helper.py"
    forget()


def edit(file: Path, text: str) -> None:
    """Edits a module before the next process begins."""
    file.write_text(text)
    forget()


def forget() -> None:
    for name in ("edited_metric", "edited_helper"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def test_edited_code_makes_another_run_and_cannot_stand_for_the_first(
    helper: Path, results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    assert run(*DIRECT, at(results)).code == 0
    first = only_run(results)
    assert read_summary(first)["code"].keys() == {"edited_metric", "edited_helper"}
    edit(helper, "SCALE = 2\n")
    outcome = run(*DIRECT, at(results))
    (second,) = set(run_folders(results)) - {first}
    line = f"edited_helper: changed since {first.name}, so {second.name} is another run."
    assert line in outcome.out
    assert "has finished before" in run(*DIRECT, at(results)).out

    trusting = ["--trust", "--out", str(tmp_path / "out")]
    changed = f"{first.name}: its code has changed since: edited_helper. Restore it, or run the"
    for command in ("panel", "robustness"):
        refused = bench(command, str(first), *trusting[: None if command == "panel" else 1])
        assert refused.line.startswith(changed), command
    drawn = bench("panel", str(second), *trusting)
    assert (drawn.code, drawn.err) == (0, "")
    edit(helper, "SCALE = 1\n")
    drawn = bench("panel", str(first), *trusting)
    assert (drawn.code, drawn.err) == (0, "")

    listed = bench("runs", "--results", str(results)).out
    tables = tmp_path / "tables"
    assert bench("export", "--results", str(results), "--out", str(tables)).code == 0
    page = tmp_path / "page.md"
    documented = bench("document", "--results", str(tables), "--out", str(page))
    assert documented.code == 0, documented.err
    for folder in (first, second):
        told = f"code edited helper {read_summary(folder)['code']['edited_helper'][:8]}"
        assert told in " ".join(listed.replace("│", " ").split())
        assert f"l1 {told}" in page.read_text()


def test_network_of_edited_code_is_not_tested_elsewhere(
    helper: Path, results: Path, run: Command
) -> None:
    assert run(*TRAINED, at(results)).code == 0
    first = only_run(results)
    edit(helper, "SCALE = 2\n")
    elsewhere = [f"model.trained={first.name}", "trust=true", "dataset=demo", at(results)]
    refused = run(*elsewhere, "dataset.shape=[32,40]", "dataset.noise=0.1")
    assert "its code has changed since: edited_helper." in refused.line


def test_sweep_over_a_class_that_is_not_found_is_refused_first(results: Path, run: Command) -> None:
    own = ["metric=mse,custom", "metric.name=l1", "metric._target_=nowhere.L1"]
    for word in ("plan=true", "force=false"):
        outcome = run("-m", *DEMO, *own, word, at(results))
        assert "metric._target_=nowhere.L1: cannot be built (No module named" in outcome.line
    assert run_folders(results) == []
