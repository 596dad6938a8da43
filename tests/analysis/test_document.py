"""Results as a page of Markdown; docs/results.md is what its command writes."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_store import config, start_run, write_run
from test_export import SPREAD, write_store
from typer.testing import CliRunner

from bench.analysis.numbers.findings import Request
from bench.analysis.plots import gallery
from bench.analysis.report.document import write_document
from bench.analysis.report.export import export
from bench.cli.commands import app
from bench.errors import BenchError

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^    python -m bench ((?:document|perception) .*)$", re.MULTILINE)
PICTURE = re.compile(r"^!\[.+\]\((.+)\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_store(folder / "results")
    write_document(Request(folder / "results"), folder / "out.md", folder / "images")
    return folder / "out.md"


def sections(text):
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", ["results.md", "network_results.md", "perception_results.md"])
def test_results_are_what_their_command_writes(name, tmp_path, monkeypatch):
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    (command,) = COMMAND.findall(committed)
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results")
    for beside in ("perception.md", "results.md"):  # what pages link to
        if beside != name:
            shutil.copy(ROOT / "docs" / beside, tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert (Path("docs") / name).read_text(encoding="utf-8") == committed
    pictures = PICTURE.findall(committed)
    assert pictures
    for picture in pictures:
        assert (Path("docs") / picture).exists()
        assert (ROOT / "docs" / picture).exists()


def test_page_answers_first_and_says_last_where_its_numbers_come_from(page):
    assert list(sections(page.read_text())) == [
        "In short",
        "demo",
        "demo (noise 0.2)",
        "Equal smoothness",
        "What noise costs",
        "What is missing",
        "Where the numbers come from",
    ]


def test_page_draws_no_interactive_figures(page, tmp_path, monkeypatch):
    for name in ("plot_boxes", "plot_front"):
        monkeypatch.setattr(gallery, name, None)
    write_document(Request(page.parent / "results"), tmp_path / "out.md", tmp_path / "images")
    drawn, expected = (
        set(folder.iterdir()) for folder in (tmp_path / "images", page.parent / "images")
    )
    assert {path.name for path in drawn} == {path.name for path in expected}


def test_each_data_set_has_its_table_and_conclusions(page):
    clean = sections(page.read_text())["demo"]
    rows = [line for line in clean.splitlines() if line.startswith("|")]
    assert rows[0].startswith("| method | λ | seeds | pairs | Dice ↑ | Δ Dice | HD95 [mm] ")
    assert "NDV" not in rows[0]
    labels = [row.split("|")[1].strip() for row in rows[2:]]
    assert labels[:2] == ["unregistered", "syn"]
    assert labels[2:] == ["ncc", "deepsim_seg"]
    said = [line for line in clean.splitlines() if line.startswith("- ")]
    assert any("has the highest Dice" in line for line in said)
    assert any(line.startswith("- Unregistered pairs have a Dice of 0.300") for line in said)
    assert any(line.startswith("- syn has a Dice of 0.600. Significantly higher") for line in said)
    assert "Noise of 0.2 changes Dice: " in sections(page.read_text())["demo (noise 0.2)"]


def test_figures_are_beside_the_page(page):
    pictures = PICTURE.findall(page.read_text())
    assert pictures == ["images/smoothness.png", "images/dice.png"]
    assert {path.name for path in (page.parent / "images").iterdir()} == {
        "smoothness.png",
        "dice.png",
    }


def test_provenance_counts_runs_times_and_commands(page):
    last = sections(page.read_text())["Where the numbers come from"]
    (row,) = [line for line in last.splitlines() if line.startswith("| – |")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:6] == ["–", "–", "none", "–", "–", "demo"]
    assert cells[6].startswith("deepsim_seg, ")
    assert cells[7:] == ["13", "43 min", "16 s"]
    commands = [line for line in last.splitlines() if line.startswith("python run.py")]
    assert len(commands) == 5
    assert sum("regularizer.weight=0.5,1,2" in line for line in commands) == 4


def test_same_input_same_page(page, tmp_path):
    again = tmp_path / "out.md"
    shutil.copytree(page.parent / "results", tmp_path / "results")
    write_document(Request(tmp_path / "results"), again, tmp_path / "images")
    changed = again.read_text().replace(str(tmp_path), str(page.parent))
    assert changed == page.read_text()
    for picture in ("smoothness.png", "dice.png"):
        one, other = (at.parent / "images" / picture for at in (page, again))
        assert one.read_bytes() == other.read_bytes()


def test_without_labels_or_a_second_weight_there_is_still_a_page(tmp_path):
    nothing = np.full(len(SPREAD), np.nan)
    for metric, error in (("ncc", 2.0), ("mse", 3.0)):
        write_run(
            tmp_path / "results",
            config(metric=metric),
            nothing,
            tre=error * (1 + SPREAD),
            dice_published=nothing,
            hd95=nothing,
        )
    write_document(Request(tmp_path / "results"), tmp_path / "out.md", tmp_path / "images")
    text = (tmp_path / "out.md").read_text()
    assert "The best method is ncc with 2.00 mm" in text
    assert "| ncc | 1 | 1 | 12 |" in text
    assert PICTURE.findall(text) == ["images/tre.png"]
    assert "*TRE over test pairs, seeds averaged." in text
    assert "Equal smoothness" not in sections(text)


def test_page_and_figures_need_a_place_and_are_not_written_half(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for out, images, said in (
        ("folder", "images", "--out .*folder: is a folder. Name the page, such as .*results.md"),
        ("page.md", "file", "--images .*file: is a file. Name a folder"),
    ):
        with pytest.raises(BenchError, match=said):
            write_document(
                Request(ROOT / "docs" / "results" / "answer"), tmp_path / out, tmp_path / images
            )
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_nothing_finished_is_no_page(tmp_path):
    start_run(tmp_path, config())
    with pytest.raises(BenchError, match="no registration has finished"):
        write_document(Request(tmp_path), tmp_path / "out.md", tmp_path / "images")
    assert not (tmp_path / "out.md").exists()


def test_a_page_takes_the_place_of_a_former_one_and_of_nothing_else(page, tmp_path):
    request = Request(page.parent / "results")
    mine = tmp_path / "mine.md"
    mine.write_text("# Mine\n")
    with pytest.raises(BenchError, match=r"^--out .*mine\.md: exists, and this command did"):
        write_document(request, mine, tmp_path / "images")
    assert mine.read_text() == "# Mine\n"
    assert not (tmp_path / "images").exists()
    export([page.parent / "results"], tmp_path / "tables")
    for name in ("runs.csv", "new.md"):
        with pytest.raises(BenchError, match=r"^--out .*: lies among the exported tables in "):
            write_document(request, tmp_path / "tables" / name, tmp_path)
    for name in ("tables", "tables/images"):
        with pytest.raises(BenchError, match=r"^--images .*: lies among the exported tables in "):
            write_document(request, tmp_path / "new.md", tmp_path / name)
    for name in ("runs/page.md", "cache/page.md"):
        place = page.parent / "results" / name
        with pytest.raises(BenchError, match=r"^--out .*: lies in the (runs|cache) of the results"):
            write_document(request, place, tmp_path)
        assert not place.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.md", "tables"]
    export([page.parent / "results"], tmp_path / "tables")
    shutil.copy(page, mine)
    write_document(request, mine, tmp_path / "images")
    assert mine.read_text() != page.read_text()


def test_figures_of_a_page_replace_no_others(page, tmp_path):
    request, images = Request(page.parent / "results"), tmp_path / "images"
    images.mkdir()
    (images / "dice.png").write_bytes(b"mine")
    said = r"^--images .*images: holds dice\.png, which .*new\.md does not show and a figure would"
    with pytest.raises(BenchError, match=said):
        write_document(request, tmp_path / "new.md", images)
    assert [path.name for path in images.iterdir()] == ["dice.png"]
    assert (images / "dice.png").read_bytes() == b"mine"
    assert not (tmp_path / "new.md").exists()
    (images / "dice.png").unlink()
    for _ in range(2):  # a page replaces its own
        write_document(request, tmp_path / "new.md", images)


def test_readme_says_what_the_page_says():
    """Every number of README's answer, in its decimals, stands in the pages; ranks with whose."""
    readme, *texts = (
        ROOT / name for name in ("README.md", "docs/results.md", "docs/network_results.md")
    )
    answer = re.search(r"\*\*What it says so far\.\*\*(.*?)\n## ", readme.read_text(), re.DOTALL)
    assert answer is not None
    numbers = re.findall(r"\d\.\d+", answer[1].replace("(standard deviation 0.2)", ""))
    assert len(numbers) > 10
    page = "".join(text.read_text() for text in texts)
    assert [number for number in numbers if not re.search(rf"\b{number}\b", page)] == []
    assert "ncc 2.0, deepsim_csr 2.5" in page
    assert "deepsim_csr 1.6, ncc 2.8, mse 3.2, deepsim_ae 3.9, mind 4.8, nmi 4.8" in page
