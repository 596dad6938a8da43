"""A table of marked cells, and how Markdown, LaTeX and HTML write it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from bench.store.escaping import for_markdown

NONE = "–"
TIED = "≈"
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "λ": r"$\lambda$",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "−": "$-$",
    "–": "--",
}


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says.
        value: What it is sorted by; None sorts last.
        mark: `best`, `second` or empty.
        tied: Whether it does not differ significantly from the best.
    """

    text: str
    value: float | str | None = None
    mark: str = ""
    tied: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Of its files.
        caption: What it shows, in a sentence or two.
        headings: Of the columns.
        texts: How many columns, from the left, are text.
        sections: Rows, in groups that a line separates.
        names: The column that says what a row is of.
    """

    name: str
    caption: str
    headings: Sequence[str]
    texts: int
    sections: list[list[list[Cell]]] = field(default_factory=list)
    names: int = 0

    @property
    def rows(self) -> list[list[Cell]]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section]


def markdown(table: Table) -> str:
    """The table in Markdown: best bold, second underlined."""

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def cell(shown: Cell) -> str:
        text = for_markdown(shown.text)
        marked = {"best": "**{}**", "second": "<u>{}</u>"}.get(shown.mark, "{}").format(text)
        return f"{marked} {TIED}" if shown.tied else marked

    rule = ["---" if i < table.texts else "---:" for i in range(len(table.headings))]
    lines = [line([for_markdown(heading) for heading in table.headings]), line(rule)]
    lines += [line([cell(shown) for shown in row]) for row in table.rows]
    return "\n".join([for_markdown(table.caption), "", *lines]) + "\n"


def latex(table: Table) -> str:
    """The table in LaTeX with booktabs: best bold, second underlined."""

    def cell(shown: Cell) -> str:
        text = escape_latex(shown.text)
        marked = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}
        return marked.get(shown.mark, text) + (r"$^{\approx}$" if shown.tied else "")

    def line(texts: Sequence[str]) -> str:
        return " & ".join(texts) + r" \\"

    columns = "l" * table.texts + "r" * (len(table.headings) - table.texts)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        line([escape_latex(heading) for heading in table.headings]),
    ]
    for section in table.sections:
        lines += [r"\midrule", *(line([cell(shown) for shown in row]) for row in section)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape_latex(text: str) -> str:
    """Text in which LaTeX reads every character as itself."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda found: LATEX[found[0]], text)


def html(table: Table) -> str:
    """The table in HTML; buttons in the headings sort, by `data-value`."""

    def kind(column: int) -> str:
        return ' class="text"' if column < table.texts else ""

    def cell(shown: Cell, column: int) -> str:
        tag = {"best": "b", "second": "u"}.get(shown.mark)
        text = f"<{tag}>{escape(shown.text)}</{tag}>" if tag else escape(shown.text)
        value = "" if shown.value is None else f' data-value="{escape(str(shown.value))}"'
        tied = f"<sup>{TIED}</sup>" if shown.tied else ""
        names = column == table.names and shown.text
        start, end = ('th scope="row"', "th") if names else ("td", "td")
        return f"<{start}{kind(column)}{value}>{text}{tied}</{end}>"

    def row(cells: Sequence[Cell]) -> str:
        return "<tr>" + "".join(cell(shown, i) for i, shown in enumerate(cells)) + "</tr>"

    head = "".join(
        f'<th scope="col"{kind(i)}><button type="button">{escape(heading)}</button></th>'
        for i, heading in enumerate(table.headings)
    )
    bodies = [
        "<tbody>\n" + "\n".join(row(cells) for cells in section) + "\n</tbody>"
        for section in table.sections
    ]
    return (
        f'<table id="{table.name}"><caption><span>{escape(table.caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n{''.join(bodies)}</table>"
    )
