"""What a report shows: tables, sentences, commands and environments."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pandas as pd

from bench.analysis.numbers.agreement import agreement_sentences
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.conclusions import Conclusion
from bench.analysis.numbers.detected import change_sentences, unjudged_sentences
from bench.analysis.numbers.findings import Findings, Request
from bench.analysis.numbers.perception_sentences import perception_sentences
from bench.analysis.numbers.synthesis import synthesis_sentences
from bench.analysis.numbers.wording import pairs_in_groups
from bench.analysis.plots.drawings import file_name
from bench.analysis.reading.published_values import published_results
from bench.analysis.report.changes import change_tables
from bench.analysis.report.main_table import results_table, training_note
from bench.analysis.report.markup import Table
from bench.analysis.report.overview import extractors_table, missing_table, overview_table
from bench.analysis.report.perception import perception_tables
from bench.analysis.report.reproduce import commands
from bench.analysis.report.synthesis import synthesis_tables
from bench.analysis.report.tables import (
    class_table,
    fronts_table,
    losses_table,
    named,
    statistics_table,
)
from bench.errors import counted
from bench.scores.registry import SCORES
from bench.store.standing import Status

NO_TESTS = pd.DataFrame()
CRITERIA = {
    "val_dice": "largest validation Dice",
    "val_loss": "least validation loss without the regularizer",
    "val_dice_bounded": "largest validation Dice among those with little folding",
}
CAPTIONS = {  # of the main tables, by the score that methods are judged by
    "dice": "Test scores at the chosen λ, means over test pairs ± standard deviation.",
    "tre": "The same for data sets with landmarks but no labels.",
}


def contents(request: Request, found: Findings) -> dict[str, Any]:
    """What the page shows besides its figures, by the names that the page gives it.

    Args:
        request: What of.
        found: What the runs say.
    """
    runs = found.records.runs
    return _tables(request, found) | {
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


def chosen_runs(comparison: Comparison) -> list[str]:
    """The runs of the chosen λ."""
    return [str(run["run"]) for entry in comparison.entries for run in entry.choice.runs]


def _commands(found: Findings) -> dict[str, list[str]]:
    """By comparison, the commands of the runs that it shows."""
    chosen = {one.name: chosen_runs(one) for one in found.comparisons}
    configs = [found.records.configs[name] for names in chosen.values() for name in names]
    lines = iter(commands(configs))
    return {about: list(islice(lines, len(names))) for about, names in chosen.items()}


def _environments(found: Findings) -> list[dict[str, str]]:
    """What the shown runs ran in, the most used first, each with the runs."""
    used: dict[str, list[str]] = {}
    for one in found.comparisons:
        for name in chosen_runs(one):
            said = json.dumps(found.records.environments[name], indent=1)
            used.setdefault(said, []).append(name)
    return [
        {"text": text, "runs": " ".join(names), "count": counted(len(names), "run")}
        for text, names in sorted(used.items(), key=lambda item: -len(item[1]))
    ]
