"""The documentation's own metric and command, as they are printed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEMO, ROOT, Outcome, at, only_run, read_summary

FILE = "my_metric.py"


def example(path: Path) -> tuple[str, str] | None:
    """The file and the command line that a document shows for a metric of one's own."""
    lines = path.read_text().splitlines()
    heads = [line for line in lines if line.strip() == f"# {FILE}"]
    commands = [line.strip() for line in lines if line.strip().startswith("PYTHONPATH=. python ")]
    if not heads:
        return None
    first, indent = lines.index(heads[0]), heads[0].index("#")
    code = []
    for line in lines[first:]:
        if line.strip() == "```" or line.strip() in commands or line[:indent].strip():
            break
        code.append(line[indent:])
    return "\n".join(code).rstrip() + "\n", commands[0]


DOCUMENTS = ["docs/metrics.md", "README.md"]
EXAMPLES = {found: name for name in DOCUMENTS if (found := example(ROOT / name))}


def test_readme_shows_a_metric_of_ones_own() -> None:
    assert "README.md" in EXAMPLES.values()


@pytest.mark.parametrize(("code", "command"), EXAMPLES, ids=EXAMPLES.values())
def test_metric_of_ones_own_runs_as_it_is_shown(
    code: str, command: str, tmp_path: Path, results: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / FILE).write_text(code)
    words = shlex.split(command)
    environment = dict(word.split("=", 1) for word in words[: words.index("python")])
    script, *arguments = words[words.index("python") + 1 :]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments, *DEMO, "trainer.steps=2", at(results)],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    outcome = Outcome(done.returncode, done.stdout, done.stderr)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    summary = read_summary(only_run(results))
    assert (summary["status"], summary["steps"]) == ("finished", 2)
    assert (summary["metric"], summary["weight"]) == ("l1", 0.05)
    assert "l1 on demo, λ = 0.05, seed 0, 2 steps" in outcome.out
