"""Writes a report: tables, figures and a page; replaces the former report."""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.analysis.numbers.agreement import agreement_sentences
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.conclusions import Conclusion
from bench.analysis.numbers.detected import change_sentences, unjudged_sentences
from bench.analysis.numbers.findings import Findings, Request, find, stack
from bench.analysis.numbers.perception_sentences import perception_sentences
from bench.analysis.numbers.synthesis import synthesis_sentences
from bench.analysis.numbers.wording import pairs_in_groups
from bench.analysis.plots.change_curves import SECTION as CHANGES
from bench.analysis.plots.change_curves import draw_change_curves
from bench.analysis.plots.drawings import Drawing, file_name
from bench.analysis.plots.gallery import draw_all, draw_published
from bench.analysis.plots.perception import draw_agreement, draw_perception
from bench.analysis.plots.style import save, styled
from bench.analysis.plots.synthesis import draw_synthesis
from bench.analysis.reading.published_values import published_results
from bench.analysis.report import markup
from bench.analysis.report.changes import change_tables
from bench.analysis.report.examples import copy_change_maps, copy_panels
from bench.analysis.report.main_table import results_table, training_note
from bench.analysis.report.markup import Table
from bench.analysis.report.overview import extractors_table, missing_table, overview_table
from bench.analysis.report.page import Picture, render
from bench.analysis.report.perception import perception_tables
from bench.analysis.report.places import refuse_among_tables
from bench.analysis.report.reproduce import commands
from bench.analysis.report.synthesis import synthesis_tables
from bench.analysis.report.tables import (
    class_table,
    fronts_table,
    losses_table,
    named,
    statistics_table,
)
from bench.errors import StoreError, counted
from bench.scores.registry import SCORES
from bench.store.escaping import for_csv, for_markdown
from bench.store.files import CsvText, replacing
from bench.store.folder import Status
from bench.store.layout import RUNS
from bench.store.locks import held

PAGE = "index.html"
MARKS = (PAGE, "tables/runs.csv")  # by which a report is known
WRITTEN = (  # what a report consists of, below its folder
    *(PAGE, "tables", "tables/*.csv", "tables/*.md", "tables/*.tex", "tables/configs.yaml"),
    *("figures", "figures/*.png", "figures/*.pdf"),
)
NO_TESTS = pd.DataFrame()
EXAMPLES = "Examples"
LARGE = 50_000  # objects more than before, at which the garbage collector looks for garbage
CRITERIA = {
    "val_dice": "largest validation Dice",
    "val_loss": "least validation loss without the regularizer",
    "val_dice_bounded": "largest validation Dice among those with little folding",
}
CAPTIONS = {  # of the main tables, by the score that methods are judged by
    "dice": "Test scores at the chosen λ, means over test pairs ± standard deviation.",
    "tre": "The same for data sets with landmarks but no labels.",
}


def write_report(request: Request, out: Path) -> Findings:
    """Writes a report under another name, and replaces the former report when it is complete.

    Several at once are written one after the other.

    Args:
        request: What of.
        out: Folder of the report: `index.html`, `tables/` and `figures/`.

    Raises:
        StoreError: If there are no such runs, or if the folder holds something else.
        ConfigError: If there is no such criterion or experiment.
        BenchError: If the report would lie among exported tables.
    """
    refuse_among_tables("--out", out)
    if out.exists() and not all((out / mark).is_file() for mark in MARKS):
        raise StoreError(
            f"--out {out}: exists and is not a report, and a report replaces the whole folder. "
            "Name another folder."
        )
    if request.results.resolve().is_relative_to(out.resolve()):
        raise StoreError(
            f"--out {out}: holds the results themselves, and a report replaces the whole folder. "
            "Name another folder."
        )
    written = {path for pattern in WRITTEN for path in out.glob(pattern)}
    foreign = sorted(str(path.relative_to(out)) for path in {*out.rglob("*")} - written)
    if foreign:
        raise StoreError(
            f"--out {out}: holds {foreign[0]}, which no report wrote, and a report replaces the "
            "whole folder. Move it away, or name another folder."
        )
    with _seldom_collected():
        found = find(request)
        _replace(request, found, out)
    return found


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Lets the garbage collector look seldom, and not at what is there already.

    What is read of a thousand runs are hundreds of thousands of objects that stay; looking through
    them for garbage, again and again, took an eighth of a report's time.
    """
    gc.freeze()
    threshold = gc.get_threshold()
    gc.set_threshold(LARGE, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _replace(request: Request, found: Findings, out: Path) -> None:
    """Writes a report to the side, and puts it in place of the former one."""
    lock = held(out.with_name(f".{out.name}.lock"), f"the report {out}", "--out DIR")
    with lock, replacing(out) as partial:
        for name in ("tables", "figures"):
            (partial / name).mkdir()
        _write(request, found, partial)


def _write(request: Request, found: Findings, folder: Path) -> None:
    content = {**_tables(request, found), **_draw(request, found, folder / "figures")}
    _write_tables(content, folder / "tables")
    _write_frames(request, found, folder / "tables")
    runs = found.records.runs
    content |= {
        "title": _title(found),
        "results": request.results,
        "choice": _choice(request, found),
        "total": len(runs),
        "finished": int((runs["status"] == Status.FINISHED).sum()),
        "skipped": int((runs["status"] == Status.SKIPPED).sum()),
        "commands": _commands(found),
        "environments": _environments(found),
        "command": request.command,
    }
    (folder / PAGE).write_text(render(content, folder / "figures"), encoding="utf-8")


def _title(found: Findings) -> str:
    """What the report is of: the tasks that have results."""
    tasks = {
        "registration": len(found.comparisons) > 0,
        "perception": len(found.perception) > 0,
        "changes": len(found.changes.rows) > 0,
        "synthesis": len(found.synthesis) > 0,
    }
    *others, last = [task for task, is_there in tasks.items() if is_there] or ["registration"]
    return f"{' and '.join(filter(None, [', '.join(others), last])).capitalize()} report"


def _choice(request: Request, found: Findings) -> str:
    """What was chosen, on what, and what scores are of; by what the folder holds."""
    synthesized, perceived = len(found.synthesis) > 0, len(found.perception) > 0
    paired = len(found.comparisons) + len(found.changes.rows) > 0
    paired = paired or not (synthesized or perceived)
    of_pairs, of_images = ["pairs"] * paired, ["images"] * (synthesized or perceived)
    said = f"ll scores are of test {' and '.join([*of_pairs, *of_images])}."
    chosen = {"λ": "pairs"} if paired else {}
    chosen |= {"c": "images"} if synthesized else {}
    if not chosen:
        return f"A{said}"
    return (
        f"{' and '.join(chosen)} {'was' if len(chosen) == 1 else 'were'} chosen on validation "
        f"{' and '.join(chosen.values())}, by {CRITERIA[request.select]}, where a data set has "
        f"some; a{said}"
    )


def _tables(request: Request, found: Findings) -> dict[str, Any]:
    papers = "The papers' test means (Czolbe et al., MIA 2023), by their definitions."
    published = results_table(published_results(), NO_TESTS, "published", papers)
    note = training_note(found.comparisons)
    beside_papers = [] if request.published else ["published", "difference"]
    rows = found.rows.drop(columns=beside_papers, errors="ignore")
    classes = [
        class_table(rows, f"classes-{file_name(rows['comparison'].iloc[0])}")
        for rows in found.classes
    ]
    return {
        "missing": missing_table(found.missing),
        "overview": overview_table(found.records, found.comparisons),
        "extractors": extractors_table(found.extractors),
        "main": [
            results_table(
                of_score,
                found.pairs,
                named("results", str(score)),
                " ".join(filter(None, [CAPTIONS[str(score)], note])),
            )
            for score, of_score in rows.groupby("lead", sort=True)
        ],
        "headlines": {said.about: said.text for said in found.headlines},
        "conclusions": _by_subject(found.conclusions),
        "fronts": [fronts_table(rows) for _, rows in found.fronts.groupby("score")],
        "losses": [losses_table(rows) for _, rows in found.losses.groupby("score")],
        "class_tables": classes,
        "statistics": list(_statistics(request, found)),
        "friedman": list(_friedman(found)),
        "published": published if request.published else None,
        "perception": perception_tables(found.perception),
        "perceived": [
            *perception_sentences(found.perception),
            *agreement_sentences(found.agreements),
        ],
        "changes": change_tables(found.changes, request.published),
        "detected": [
            *change_sentences(found.changes.differences),
            *unjudged_sentences(found.changes.unjudged),
        ],
        "synthesis": synthesis_tables(found.synthesis),
        "synthesized": synthesis_sentences(found.synthesis),
    }


def _by_subject(conclusions: Sequence[Conclusion]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for conclusion in conclusions:
        found.setdefault(conclusion.about, []).append(conclusion.text)
    return found


def _statistics(request: Request, found: Findings) -> Sequence[Table]:
    found_tables = []
    for one in found.comparisons:
        own = found.pairs["comparison"] == one.name
        rows = found.pairs[own & (found.pairs["score"] == one.lead)]
        if len(rows) and rows["n"].any():
            caption = f"{SCORES[one.lead].title} on {one.name}, all pairs of methods."
            name = f"statistics-{file_name(one.name)}"
            found_tables.append(statistics_table(rows, name, caption, request.published))
    return found_tables


def _friedman(found: Findings) -> Sequence[str]:
    leads = {one.name: one.lead for one in found.comparisons}
    return [
        f"{row['comparison']}: Friedman's test over {row['labels']} methods on the "
        f"{SCORES[row['score']].title} of {pairs_in_groups(row['n'], row['units'])} "
        f"({row['left_out']} left out): "
        f"χ² = {row['statistic']:.2f}, p = {row['p']:.2g}."
        for row in found.friedman.to_dict("records")
        if row["p"] == row["p"] and row["score"] == leads[row["comparison"]]
    ]


def _draw(request: Request, found: Findings, folder: Path) -> dict[str, Any]:
    def picture(drawing: Drawing) -> Picture:
        save(drawing.figure, folder / drawing.name)
        description = drawing.description or drawing.caption
        return Picture(drawing.name, drawing.caption, description, drawing.plots, drawing.legend)

    pictures: dict[str, list[Picture]] = {}
    with styled():
        rows = stack([found.rows, found.unfinished], [*map(str, found.rows)])
        for drawing in draw_all(found.comparisons, rows):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for drawing in [*draw_perception(found.perception), *draw_agreement(found.agreements)]:
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for drawing in draw_change_curves(found.changes):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for panel in copy_change_maps(request, found, folder):
            pictures.setdefault(CHANGES, []).append(panel)
        for drawing in draw_synthesis(found.synthesis, request.results / RUNS):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        if request.published:
            published = draw_published()
            pictures[published.section] = [picture(published)]
    panels = copy_panels(request, found, folder)
    return {"pictures": pictures | ({EXAMPLES: panels} if panels else {})}


def _bullet(text: str) -> str:
    return f"- {for_markdown(text)}"


def _write_tables(content: dict[str, Any], folder: Path) -> None:
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


def _write_frames(request: Request, found: Findings, folder: Path) -> None:
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
        name: found.records.configs[name] for one in found.comparisons for name in _chosen(one)
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


def _chosen(comparison: Comparison) -> list[str]:
    """The runs of the chosen λ."""
    return [str(run["run"]) for entry in comparison.entries for run in entry.choice.runs]


def _commands(found: Findings) -> dict[str, list[str]]:
    """By comparison, the commands of the runs that it shows."""
    chosen = {one.name: _chosen(one) for one in found.comparisons}
    configs = [found.records.configs[name] for names in chosen.values() for name in names]
    lines = iter(commands(configs))
    return {about: list(islice(lines, len(names))) for about, names in chosen.items()}


def _environments(found: Findings) -> list[dict[str, str]]:
    """What the shown runs ran in, the most used first, each with the runs."""
    used: dict[str, list[str]] = {}
    for one in found.comparisons:
        for name in _chosen(one):
            said = json.dumps(found.records.environments[name], indent=1)
            used.setdefault(said, []).append(name)
    return [
        {"text": text, "runs": " ".join(names), "count": counted(len(names), "run")}
        for text, names in sorted(used.items(), key=lambda item: -len(item[1]))
    ]
