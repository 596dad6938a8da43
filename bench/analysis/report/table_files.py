"""The files below tables/ of a report: Markdown and LaTeX, CSV, and the configurations."""

from pathlib import Path
from typing import Any

import yaml

from bench.analysis.numbers.findings import Findings, Request, stack
from bench.analysis.reading.published_values import published_results
from bench.analysis.report import markup
from bench.analysis.report.contents import chosen_runs
from bench.analysis.report.markup import Table
from bench.store.escaping import for_csv, for_markdown
from bench.store.files import CsvText
from bench.store.layout import RUNS


def _bullet(text: str) -> str:
    return f"- {for_markdown(text)}"


def write_tables(content: dict[str, Any], folder: Path) -> None:
    """Writes the tables and sentences of a page as Markdown and LaTeX.

    Args:
        content: Of `bench.analysis.report.contents`.
        folder: Where the files belong.
    """
    said = "\n".join(
        "\n".join([f"**{for_markdown(about)}**", "", *map(_bullet, texts), ""])
        for about, texts in content["conclusions"].items()
    )
    if said:
        (folder / "conclusions.md").write_text(said, encoding="utf-8")
    files: dict[str, list[Table]] = {
        "results": content["main"],
        "classes": content["class_tables"],
        "statistics": content["statistics"],
        "equal_smoothness": content["fronts"],
        "noise": content["losses"],
        "extractors": [content["extractors"]],
        "perception": content["perception"],
        "changes": content["changes"],
        "synthesis": content["synthesis"],
        "missing": [content["missing"]],
        "published": [content["published"]] if content["published"] else [],
    }
    for name, tables in files.items():
        for suffix, write in ((".md", markup.markdown), (".tex", markup.latex)):
            text = "\n".join(write(table) for table in tables if table.rows)
            if text:
                (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")


def write_frames(request: Request, found: Findings, folder: Path) -> None:
    """Writes the rows behind the tables as CSV, and the configurations of the chosen runs.

    Args:
        request: What of.
        found: What the runs say.
        folder: Where the files belong.
    """
    pairs = found.pairs
    if not request.published:
        pairs = pairs.drop(columns="cohens_d", errors="ignore")
    frames = {
        "results": found.rows,
        "classes": stack(found.classes, ["comparison", "class", "label"]),
        "statistics": pairs,
        "friedman": found.friedman,
        "equal_smoothness": found.fronts,
        "noise": found.losses,
        "extractors": found.extractors,
        "missing": found.missing,
        "runs": found.records.runs.reset_index(names="run"),
    }
    if len(found.perception):
        frames["perception"] = found.perception
    if len(found.changes.rows):
        frames["changes"] = found.changes.rows
        frames["changes_curves"] = found.changes.curves
        frames["changes_regions"] = found.changes.regions
        frames["changes_differences"] = found.changes.differences
    if len(found.synthesis):
        frames["synthesis"] = found.synthesis
    if request.published:
        frames["published"] = published_results()
    chosen = {
        name: found.records.configs[name] for one in found.comparisons for name in chosen_runs(one)
    }
    if chosen:
        text = yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True)
        (folder / "configs.yaml").write_text(text, encoding="utf-8")
    for name, frame in frames.items():
        if frame.empty and name != RUNS:  # by which a report is known
            continue
        text = CsvText()
        frame.map(for_csv).to_csv(text, index=False, lineterminator=text.LINE_END)
        (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
