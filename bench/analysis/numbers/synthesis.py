"""What losses make of images: means over images with intervals, beside the input and MSE alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import comparable, described
from bench.analysis.numbers.extractors import JUDGED_BY, OF_THE_METRIC, by_role, learned
from bench.analysis.numbers.grading import is_called_poor
from bench.analysis.numbers.naming import variant_labels
from bench.analysis.numbers.selection import Choice, choose
from bench.analysis.numbers.wording import signed, signed_interval
from bench.analysis.reading.metrics import metric_order, problem_of
from bench.analysis.reading.records import (
    BEFORE,
    Records,
    reading_settings,
)
from bench.config.identity import digest
from bench.scores.of_images import SYNTHESIS
from bench.scores.registry import SCORES, score_of
from bench.store.layout import IMAGES

TASK = "synthesis"
INPUT = "input"  # label of what the network saw
ALONE = "mse"  # the metric whose loss is the mean squared error alone
JUDGE = "_judge"  # of a score's column: how well the network that judges it learned
GAIN = "_gain"  # of a score's column: its difference from that of MSE alone
JUDGED = ("psnr", "ssim", "distance", "dice")
COLUMNS = [
    *("comparison", "dataset", "judge", "label", "metric", "weight", "seeds", "images", "run"),
    *JUDGED,
    "dice_truth",
]
OF_A_PROBLEM = {"denoise": ("noise",), "upsample": ("coarsening",)}  # settings that it looks at
OF_THE_METHOD = ("channels", "patch")


def synthesis_rows(records: Records, select: str) -> pd.DataFrame:
    """Scores of each loss on each data set and problem, c chosen on validation.

    Seeds are averaged for each image first; runs are compared that made the same images of the same
    data, judged by the same networks.

    Args:
        records: The runs.
        select: How c is chosen.

    Returns:
        `COLUMNS`; of each score NAME_low and NAME_high, a 95 % bootstrap interval over images; and
        NAME_gain, the mean difference from MSE alone on the same images, with NAME_gain_low and
        NAME_gain_high; NAME_judge and `extractor`, how well the network that judges a score and
        that of the loss learned. The first row of a comparison is the input. `run` is the first
        run. Empty without a run.
    """
    runs = [run for run, summary in records.summaries.items() if summary.get("task") == TASK]
    if not runs:
        return pd.DataFrame(columns=COLUMNS)
    tables = {str(run): rows for run, rows in records.table(IMAGES).groupby("run")}
    problems = sorted({problem_of(records.summaries[run]) for run in runs})
    found: list[dict[str, Any]] = []
    for problem in problems:
        posed = [run for run in runs if problem_of(records.summaries[run]) == problem]
        readings = {run: _reading(records.configs[run]) for run in posed}
        subjects = {run: sorted(tables[run]["subject"]) for run in posed}
        for name, alike in comparable(records, readings, subjects):
            row_of = {
                "comparison": f"{name}, {problem}",
                "dataset": _dataset(records, alike),
                "judge": _judge(records.configs[alike[0]]),
                **{f"{score}{JUDGE}": grade for score, grade in _graded(records, alike).items()},
            }
            found += [{**row_of, **row} for row in _of_comparison(records, alike, tables, select)]
    return pd.DataFrame(found)


def _dataset(records: Records, runs: Sequence[str]) -> str:
    return str(records.summaries[runs[0]]["dataset"])


def _judge(config: Mapping[str, Any]) -> str | None:
    """The metric whose distance is a score."""
    judge = (config["task"].get("judges") or {}).get("distance")
    return None if judge is None else str(judge["name"])


def _graded(records: Records, runs: Sequence[str]) -> dict[str, str | None]:
    """By the score that they judge, how well the judges of some runs learned."""
    return {score: _learned(records, runs, judge) for score, judge in JUDGED_BY.items()}


def _learned(records: Records, runs: Sequence[str], role: str) -> str | None:
    """How well the extractors in one role learned; None where no run has some."""
    roles = [by_role(records.configs[run], records.summaries[run]) for run in runs]
    return learned({"extractors": of_one[role]} for of_one in roles if of_one.get(role))


def _reading(config: Mapping[str, Any]) -> dict[str, Any]:
    """How images were read, what was to be made of what, and who judged."""
    task = config["task"]
    posed = ("problem", *OF_A_PROBLEM.get(task["problem"], ()), "judge_seed")
    judges = {
        f"judge {name}": f"{judge['name']} {digest(judge)}"
        for name, judge in (task.get("judges") or {}).items()
    }
    return {**reading_settings(config), **{key: task[key] for key in posed}, **judges}


def _settings(records: Records, run: str) -> dict[str, Any]:
    """What made a result but c and the seed."""
    task = records.configs[run]["task"]
    return {**records.made_by(run), **{f"task.{key}": task[key] for key in OF_THE_METHOD}}


def _of_comparison(
    records: Records, runs: list[str], tables: Mapping[str, pd.DataFrame], select: str
) -> Iterator[dict[str, Any]]:
    settings = {run: _settings(records, run) for run in runs}
    summaries = described(records, settings)
    labels = variant_labels(summaries, settings)
    chosen = {
        (str(metric), variant): choice
        for (_, metric, variant), choice in choose(summaries, select).items()
    }
    keys = sorted(chosen, key=lambda key: (metric_order(key[0]), labels[key]))
    by_image = {key: _means([tables[run["run"]] for run in chosen[key].runs]) for key in keys}
    alone = next((by_image[key] for key in keys if key[0] == ALONE), None)
    inputs = _inputs([*by_image.values()])
    yield {"label": INPUT, "metric": INPUT, "images": len(inputs), **_intervals(inputs)}
    for key in keys:
        images = by_image[key]
        gains = None if alone is None or key[0] == ALONE else images - alone
        yield {
            "label": labels[key],
            "metric": key[0],
            **_facts(chosen[key]),
            "extractor": _learned(records, [run["run"] for run in chosen[key].runs], OF_THE_METRIC),
            "images": len(images),
            **_intervals(images),
            **({} if gains is None else _intervals(gains, GAIN)),
        }


def _inputs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Scores of the input by image, each of the first loss that its judge has judged."""
    found = {}
    for name in JUDGED:
        known = [images[name + BEFORE] for images in tables if name + BEFORE in images]
        if known:
            found[name] = known[0]
    return pd.DataFrame(found)


def _facts(choice: Choice) -> dict[str, Any]:
    return {"weight": choice.weight, "seeds": len(choice.runs), "run": choice.runs[0]["run"]}


def _means(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """By image, the mean over seeds of each score."""
    rows = pd.concat(tables).drop(columns="run")
    return rows.groupby("subject").mean()


def _intervals(images: pd.DataFrame, suffix: str = "") -> dict[str, float]:
    """Means over images with intervals, of the scores that a synthesis is judged by."""
    bootstrap = Bootstrap(np.arange(len(images)))
    found: dict[str, float] = {}
    for name in (*JUDGED, "dice_truth"):
        if name in images:
            values = images[name].to_numpy(float)
            column = f"{name}{suffix}"
            low, high = bootstrap.interval(values)
            found |= {column: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan}
            found |= {f"{column}_low": low, f"{column}_high": high}
    return found


def synthesis_sentences(rows: pd.DataFrame) -> list[str]:
    """What each loss changes against MSE alone, a sentence a comparison.

    Args:
        rows: Of `synthesis_rows`; comparisons without MSE alone, or of one image, have none.
    """
    several = rows[rows["images"] > 1]
    groups = several.groupby("comparison", sort=False)
    return [text for name, one in groups if (text := _sentence(str(name), one))]


def _sentence(comparison: str, rows: pd.DataFrame) -> str:
    said = []
    for row in rows.to_dict("records"):
        known = [n for n in JUDGED if np.isfinite(row.get(f"{n}{GAIN}_low", np.nan))]
        if known:
            said.append(f"{row['label']} (c = {row['weight']:g}) {_verdict(row, known)}")
    if not said:
        return ""
    grades = {name: rows.iloc[0].get(f"{name}{JUDGE}") for name in JUDGED_BY}
    doubts = "".join(
        f" {score_of(name).title} means little, as its judge learned poorly: {of_one}."
        for name, of_one in grades.items()
        if is_called_poor(of_one)
    )
    return f"{comparison}: against MSE alone {'; '.join(said)}.{doubts}"


def _verdict(row: Mapping[Any, Any], names: Sequence[str]) -> str:
    """In which scores a loss is better and worse than MSE alone, by their intervals."""
    parts: dict[str, list[str]] = {"better": [], "worse": []}
    for name in names:
        gain, low, high = (row[f"{name}{GAIN}{end}"] for end in ("", "_low", "_high"))
        sign = direction(row, name)
        if sign:
            limits = signed_interval(low, high, digits(name))
            text = f"{score_of(name).title} ({signed(gain, digits(name))}, {limits})"
            parts["better" if sign > 0 else "worse"].append(text)
    told = [f"is {how} in {', '.join(texts)}" for how, texts in parts.items() if texts]
    return " and ".join(told) if told else "differs in none of the scores"


def direction(row: Mapping[Any, Any], name: str) -> int:
    """Whether a loss is better (1) or worse (-1) than MSE alone, or neither (0).

    It is one of them if the interval of its difference, in the digits that are printed, leaves out
    0.
    """
    low, high = (round(row[f"{name}{GAIN}{end}"], digits(name)) for end in ("_low", "_high"))
    better = 1 if score_of(name).best == "max" else -1
    return better * ((low > 0) - (high < 0))


def digits(name: str) -> int:
    """Decimals of a score."""
    return (SYNTHESIS.get(name) or SCORES[name]).digits
