"""Names from files reach terminals, Markdown, HTML, figures and CSV as text."""

import csv
import io
import json

import matplotlib.pyplot as plt
import pytest
from analysis.synthetic_store import config, fail_run, write_run
from rich.console import Console
from typer.testing import CliRunner

from bench.analysis.numbers.findings import Request
from bench.analysis.plots.style import styled
from bench.analysis.reading.rows import read_rows
from bench.analysis.report.markup import Cell, Table, html, markdown
from bench.analysis.report.writing import write_report
from bench.cli.listing import print_runs
from bench.cli.messages import explain
from bench.cli.run_commands import app
from bench.cli.terminal import print_check
from bench.data.check_report import CheckReport, LabelReport, SplitReport
from bench.errors import DataError
from bench.store.escaping import for_csv, for_markdown, for_rich, for_terminal, from_csv
from bench.store.files import write_csv

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e[red]<script>alert(1)</script>"


def test_terminal_shows_control_characters_as_text():
    shown = for_terminal(EVIL)
    assert shown.startswith("\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\u202e[red]<script>")
    assert shown.isprintable()
    assert for_terminal("Käse λ = 0.2 ± 0.1\n\tx") == "Käse λ = 0.2 ± 0.1\n\tx"


def test_rich_shows_its_markup_as_text():
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=200).print(for_rich(EVIL), highlight=False)
    assert "[red]<script>" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_messages_are_one_printable_line():
    line = explain(DataError(f"a\nb{EVIL}\r\nc"))
    assert line.isprintable()
    assert line.startswith("a b\\x1b")


@pytest.mark.parametrize("title", [EVIL, "[bold]x", "[/]"])
def test_check_and_list_show_names_as_text(title, capsys):
    report = CheckReport(title, {"test": SplitReport(subjects=1)}, [LabelReport(title, {1}, 1, 1)])
    report.notes, report.faults = [title], [title]
    report.splits["test"].orientations[title] += 1
    print_check(report)
    names = ("dataset", "metric", "model", "id", "error")
    print_runs([{"status": "failed", **dict.fromkeys(names, title)}], [title])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    assert printed.replace("\n", "").count(for_terminal(title)[-3:]) >= 8


def test_runs_show_and_csv_hold_what_a_folder_says_as_text(tmp_path, capsys):
    folder = fail_run(tmp_path, config(), error=EVIL)
    (folder / "run.json").write_text(json.dumps({"id": "v", "dataset": "=cmd()", "metric": EVIL}))
    (folder / "config.yaml").write_text(f"evil: {EVIL}")
    (folder / "traceback.txt").write_bytes(b"\xff\x1b[2J")
    shown = CliRunner().invoke(app, ["--results", str(tmp_path), "show", "v"]).output
    assert "config.yaml:\nevil: \\x1b]0" in shown
    assert "\x1b" not in shown
    listed = CliRunner().invoke(app, ["--results", str(tmp_path), "--format", "csv"]).output
    assert next(csv.DictReader(io.StringIO(listed)))["dataset"] == "'=cmd()"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("p < 0.0001 and < /b>", "p < 0.0001 and < /b&gt;"),  # no tag
        ("<", "&lt;"),
        ("[x](javascript:y)", r"[x\](javascript:y)"),
        ("a|b `c` *d* \\", r"a\|b \`c\` \*d\* \\"),
        ("a\nb", "a b"),
        ("HD95 [mm] λ = 0.2 ± 0.1 (border)", "HD95 [mm] λ = 0.2 ± 0.1 (border)"),
    ],
)
def test_markdown_shows_text(text, shown):
    assert for_markdown(text) == shown
    table = Table("t", text, [text], 1, [[[Cell(text, mark="best")]]])
    assert markdown(table) == f"{shown}\n\n| {shown} |\n| --- |\n| **{shown}** |\n"
    assert "<script>" not in html(table)


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@x", "\tx", "'=1", "''-x", "-", "="])
def test_no_cell_is_a_formula(text, tmp_path):
    assert for_csv(text) == f"'{text}"
    assert from_csv(for_csv(text)) == text
    write_csv(tmp_path / "pairs.csv", [{"moving": text, "dice": -0.5}])
    assert "'" in (tmp_path / "pairs.csv").read_text()
    (row,) = read_rows(tmp_path / "pairs.csv").to_dict("records")
    assert row == {"moving": text, "dice": -0.5}


@pytest.mark.parametrize("value", ["-0.5", "+1e-3", -0.5, None, "a-b", "'a", "", "nan", "-inf"])
def test_other_cells_stay(value):
    assert for_csv(value) == value
    assert value is None or from_csv(str(value)) == str(value)


@pytest.mark.parametrize("text", ["a\rb", "\r", "a\r", "'\ra", "a\r\nb", "a\nb", 'a,"b"\r'])
def test_line_end_in_a_name_ends_no_line(text, tmp_path):
    write_csv(tmp_path / "pairs.csv", [{"moving": text, "dice": -0.5}, {"moving": "b", "dice": 1}])
    rows = read_rows(tmp_path / "pairs.csv")
    assert list(rows["moving"]) == [text, "b"]
    assert (tmp_path / "pairs.csv").read_bytes().startswith(b"moving,dice\n")


def test_name_with_dollars_is_drawn():
    with styled():
        figure, axis = plt.subplots()
        axis.set_title(r"$\frac{5$")
        figure.canvas.draw()
        plt.close(figure)


def test_report_holds_names_as_text(tmp_path):
    """A folder of results from someone else, whose names act wherever they are not text."""
    name = "=<script>alert(1)|`$\\x\rrest"
    for metric in (name, "mse"):
        for weight in (0.5, 1.0):
            settings = config(metric=metric, weight=weight)
            settings["metric"] = {"name": metric, "_target_": name, name: name}
            variant = f"v{len(metric)}"
            write_run(
                tmp_path,
                settings,
                [0.5, 0.6, 0.7],
                moving=["=a", "-b", "@c"],
                variant=variant,
            )
    write_report(Request(tmp_path), tmp_path / "report")
    for path in (tmp_path / "report").rglob("*"):
        if path.suffix in (".md", ".html"):
            assert "<script>alert" not in path.read_text(), path
        if path.suffix == ".csv":
            with open(path, newline="") as file:
                cells = [cell for row in csv.reader(file) for cell in row]
            assert not [cell for cell in cells if cell[:1] in "=@" and cell], path
            assert not [cell for cell in cells if cell.startswith("rest")], path
