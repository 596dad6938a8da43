"""The documentation's classes and commands, as they are printed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from .conftest import (
    DEMO,
    ROOT,
    TRAINING,
    Command,
    Outcome,
    at,
    only_run,
    read_summary,
    run_folders,
    subject,
    with_cache,
    write_volume,
)

EXAMPLE = re.compile(
    r"^```python\n(?P<code># (?P<file>my_\w+\.py)\n.*?)^```\n\n +(?P<command>PYTHONPATH=\. .*?)\n",
    re.MULTILINE | re.DOTALL,
)

COMMAND = re.compile(r"^    (?P<line>(?:PYTHONPATH=\S+ )?\S*python3? .*)$", re.MULTILINE)
NEXT = re.compile(r"^ *(next: .*)$", re.MULTILINE)
LONG = ["plan=true"]  # what is added to experiments that take more than seconds


def commands() -> list[str]:
    """The indented commands of README.md, in order."""
    return [match["line"] for match in COMMAND.finditer((ROOT / "README.md").read_text())]


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


def test_layout_of_ones_own_works_as_it_is_shown(tmp_path: Path) -> None:
    """In a copy of the repository, whose files the page names."""
    section = (ROOT / "docs" / "data.md").read_text().partition("## A new layout\n")[2]
    code, reading = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    [settings] = re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    check, training = COMMAND.findall(section)
    [further] = re.findall(r"`'(hydra\.searchpath=\S+)'`", section)
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("bench", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "run.py", tmp_path)
    (tmp_path / "my_source.py").write_text(code)
    option = tmp_path / "conf" / "dataset" / "mine.yaml"
    option.write_text(settings)
    for number, split in enumerate(["train", "val", "test"] * 2):
        folder = tmp_path / "scans" / split / f"person{number}"
        image, labels = subject(number)
        write_volume(folder / "t1.nii.gz", image)
        write_volume(folder / "seg.nii.gz", labels)
        (folder / "points.csv").write_text("6,7,5\n4,5,6\n")
        np.savez(folder / "t1.npz", image=image, labels=labels)

    def printed(line: str, *more: str) -> str:
        words = shlex.split(line)
        done = subprocess.run(
            [sys.executable, *words[words.index("python") + 1 :], *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": words[0].removeprefix("PYTHONPATH=")},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    assert "dataset mine can be used" in printed(check)
    printed(training, *TRAINING)
    summary = read_summary(only_run(tmp_path / "results"))
    assert (summary["dataset"], summary["metric"]) == ("mine", "mse")
    assert {"dice", "tre"} <= set(summary["scores"])
    other = tmp_path / further.partition("file://")[2].rstrip("]") / "dataset" / option.name
    other.parent.mkdir(parents=True)
    option.rename(other)
    usual = re.compile(r"^ +return read_raw\(.*\n", re.MULTILINE)
    ours = usual.sub(lambda _: textwrap.indent(reading, " " * 8), code, count=1)
    ours = ours.replace("{self.modality}.nii.gz", "{self.modality}.npz")
    (tmp_path / "my_source.py").write_text(f"import numpy as np\n{ours}")
    assert "1.5 x 1.5 x 2 mm" in printed(check, further)


def test_first_command_ends_with_the_next_ones(
    place: Path, demo_cache: Path, call: Command
) -> None:
    first, tests = commands()[:2]
    assert first.endswith(" && .venv/bin/python run.py")
    assert tests.endswith(" && .venv/bin/python -m pytest -q -n 2")  # which .ci/run runs
    done = call("python", "run.py", *DEMO)
    assert (done.code, done.err) == (0, "")
    shown = NEXT.findall((ROOT / "README.md").read_text())
    sweep, *others = NEXT.findall(done.out)
    assert others == shown[1:]
    assert len(shown) == 3
    kept = [word for word in DEMO if word.startswith(("dataset", "model", "trainer", "tracker"))]
    assert shlex.split(sweep, comments=True) == [
        *shlex.split(shown[0], comments=True)[:4],
        *kept,
        *shlex.split(shown[0], comments=True)[4:],
    ]
    for line in shown:
        words = shlex.split(line.removeprefix("next: "), comments=True)
        outcome = call(*words, *(LONG if "run.py" in words else []))
        assert outcome.code == 0, outcome.err
    assert (place / "results" / "report" / "index.html").is_file()
    again = call("python", "run.py", *DEMO)
    assert "has finished before" in again.out
    assert not NEXT.search(again.out)
    with_cache(place / "my results", demo_cache)
    elsewhere = call("python", "run.py", *DEMO, at(place / "my results"))
    report = f"next: python -m bench report --results '{place}/my results'"
    assert report in elsewhere.out


@pytest.mark.timeout(900)
def test_every_command_runs(
    place: Path, volumes: Path, decathlon: Path, call: Command, bench: Command
) -> None:
    """Those that take more than seconds are planned; one's data set is trained and registered."""
    done = call(
        *["python", "run.py", "dataset=nifti", "dataset.name=mine", f"dataset.root={volumes}"],
        *["metric=ncc", *TRAINING],
    )
    assert done.code == 0, done.err
    name = only_run(place / "results").name.rpartition("-")[2]
    pairs = volumes / "new.csv"
    pairs.write_text("moving,fixed\nimage4.nii.gz,image5.nii.gz\nimage5.nii.gz,image4.nii.gz\n")
    assert bench("register", name, "--csv", str(pairs), "--out", "fields").code == 0
    images = {"A": volumes / "image4.nii.gz", "B": volumes / "image5.nii.gz"}
    meant = {"PATH": decathlon, "RUN": name, **images, "NAME": "nifti", "TOOL": "tool"}
    folders = {"data": volumes, "export": "tables", "register": "registered", "score": "fields"}
    ran = []
    for line in dict.fromkeys(shlex.join(shlex.split(line, comments=True)) for line in commands()):
        words = shlex.split(line)
        if words[0] == "python3" or words[0].startswith("PYTHONPATH"):
            continue  # run by .ci/run, and by the tests above
        meant["DIR"] = next((folders[word] for word in words if word in folders), volumes)
        words = [re.sub(r"^(.*=)?([A-Z]+)$", lambda m: _meant(m, meant), word) for word in words]
        if words[1] == "run.py" and "--help" not in words and "plan=true" not in words:
            words += LONG
        if "score" in words:
            words += [f"dataset.root={volumes}", "tracker=none"]
        outcome = call(*words)
        assert outcome.code == 0, (line, outcome.err)
        assert outcome.err == "", line
        ran.append(line)
    assert len(ran) > 15
    assert len(run_folders(place / "results")) == 2  # the run, and the fields that were scored
    for written in ("tables/runs.csv", "registered/warped.nii.gz", "results/report/index.html"):
        assert (place / written).is_file(), written
    assert {path.stem for path in (place / "results" / "data").iterdir()} == {
        "mine-check",
        "mine-preview",
    }


def _meant(match: re.Match[str], meant: dict[str, object]) -> str:
    """A word of README.md, its placeholder replaced."""
    return (match[1] or "") + str(meant.get(match[2], match[2]))
