"""The tutorials, as they stand: their commands run, and print what is shown."""

import math
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, Command, run_folders

TUTORIALS = ROOT / "docs" / "tutorials"
IN_TURN = [("metric",), ("network",), ("data", "fields"), ("weight", "report")]
BLOCK = re.compile(
    r"^```(?P<kind>python|text)\n(?P<body>.*?)^```$"
    r"|^    (?P<command>(?:PYTHONPATH=\. )?python [^\n]*)$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = r"[+-]?\d+(?:\.\d+)?"
REST = "…"  # of a line, or lines that are left out
TOLERANCE = {"rel_tol": 0.1, "abs_tol": 0.02}  # of numbers, which processors round differently
WRITTEN = re.compile(r"`((?:results|registered)/[\w/.]+\.\w+)`")


@pytest.fixture(autouse=True)
def _forget_modules(place: Path) -> Iterator[None]:
    """Modules of one tutorial are no other's."""
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def printed(shown: str, line: str) -> bool:
    """Whether a line is what a tutorial shows, numbers nearly."""
    parts = re.split(f"({NUMBER}|{REST}|\\s+)", shown.strip())
    pattern = "".join(
        f"({NUMBER})"
        if re.fullmatch(NUMBER, part)
        else {REST: ".*"}.get(part, r"\s+" if part.isspace() else re.escape(part))
        for part in parts
        if part
    )
    match = re.fullmatch(pattern, line.strip())
    wanted = re.findall(NUMBER, shown)
    return match is not None and all(
        math.isclose(float(number), float(found), **TOLERANCE)
        for number, found in zip(wanted, match.groups(), strict=True)
    )


def assert_printed(shown: str, output: str) -> None:
    """The lines come in this order, one after the other but where some are left out."""
    lines = iter(output.splitlines())
    skipping = False
    for line in shown.splitlines():
        if line.strip() == REST:
            skipping = True
            continue
        candidates = lines if skipping else [next(lines, "")]
        assert any(printed(line, found) for found in candidates), f"{line}\nis not in\n{output}"
        skipping = False


@pytest.mark.parametrize(
    ("line", "same"),
    [("Dice 0.82", True), ("Dice  0.84", True), ("Dice 0.95", False), ("HD95 0.82", False)],
)
def test_numbers_are_compared_nearly_and_words_exactly(line: str, same: bool) -> None:
    assert printed("Dice 0.82", line) is same
    assert printed("Dice …", line) is line.startswith("Dice")


def test_every_tutorial_is_run() -> None:
    pages = [name for names in IN_TURN for name in names]
    assert sorted(pages) == sorted(path.stem for path in TUTORIALS.glob("*.md"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", IN_TURN, ids="-".join)
def test_tutorial_does_what_it_says(
    names: tuple[str, ...], place: Path, call: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(place))
    for name in names:
        page = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
        output, compared = "", 0
        for block in BLOCK.finditer(page):
            if block["kind"] == "python":
                file = block["body"].split()[1]
                (place / file).write_text(block["body"], encoding="utf-8")
            elif block["kind"] == "text":
                assert_printed(block["body"], output)
                output, compared = "", compared + 1
            else:
                output += run_line(block["command"], place, call)
        assert compared, f"{name}: shows nothing that is printed"
        for written in WRITTEN.findall(page):
            assert (place / written).is_file(), f"{name}: {written} is not written"


def run_line(line: str, place: Path, call: Command) -> str:
    """What a command prints; RUN is the run that was made first."""
    words = shlex.split(line.removeprefix("PYTHONPATH=. "), comments=True)
    if "RUN" in words:
        first = min(run_folders(place / "results"), key=lambda run: run.stat().st_mtime)
        words[words.index("RUN")] = first.name
    if "run.py" in words:
        words += ["tracker=none", "trainer.progress=false"]
    if "score" in words:
        words.append("tracker=none")
    outcome = call(*words)
    assert outcome.code == 0, f"{line}\n{outcome.err}"
    return outcome.out
