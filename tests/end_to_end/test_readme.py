"""The documentation's classes and commands, as they are printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEMO, ROOT, Outcome, at, only_run, read_summary

EXAMPLE = re.compile(
    r"^```python\n(?P<code># (?P<file>my_\w+\.py)\n.*?)^```\n\n +(?P<command>PYTHONPATH=\. .*?)\n",
    re.MULTILINE | re.DOTALL,
)


def examples() -> dict[tuple[str, str, str], str]:
    """File, content and command of each class that a document shows, once, with their names."""
    found = {}
    for document in ("README.md", "docs/metrics.md", "docs/methods.md"):
        for match in EXAMPLE.finditer((ROOT / document).read_text()):
            found.setdefault(match.group("file", "code", "command"), f"{document} {match['file']}")
    return found


def test_readme_shows_a_metric_and_a_network() -> None:
    assert {"README.md my_metric.py", "README.md my_network.py"} <= set(examples().values())


@pytest.mark.parametrize(("file", "code", "command"), examples(), ids=examples().values())
def test_example_runs_as_it_is_shown(
    file: str, code: str, command: str, tmp_path: Path, results: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / file).write_text(code)
    words = shlex.split(command)
    environment = dict(word.split("=", 1) for word in words[: words.index("python")])
    script, *arguments = words[words.index("python") + 1 :]
    tiny = [word for word in DEMO if not word.startswith("model.")]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments, *tiny, "trainer.steps=2", at(results)],
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
    [name] = re.findall(r"\.name=(\w+)", command)
    assert name in (summary["metric"], summary["model"])
    assert summary["weight"] == float(
        re.findall(r"weight=(\S+)|$", command)[0] or summary["weight"]
    )
