"""The commands that the first run of a folder proposes."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.config.commands import BENCH, RUN, with_results
from bench.config.conditioning import WeightRange
from bench.config.overrides import quoted
from bench.store.escaping import for_terminal

KEPT = ("task", "dataset", "model", "trainer", "tracker", "regularizer")  # groups of options
OF_WEIGHTS = ("regularizer.weight", "regularizer.scale")
OF_ONE_METRIC = (*OF_WEIGHTS, "model.lambda_range")
CHANGES = "task=changes"  # selects the following, unless another model is chosen
VARIATIONAL = "model=variational"  # learns from few metrics
AROUND = (1 / 4, 1, 4)  # λ to choose from, by the run's


def print_next_steps(
    results: Path,
    words: Sequence[str],
    weight: float | None = None,
    learned: WeightRange | None = None,
) -> None:
    """Prints three commands to try after a first run.

    Args:
        results: Folder of the results.
        words: Of its command; those that choose task, data, method and training are repeated. Its
            metric is compared with others, or if it has a λ of its own, which suits no other
            metric, tried with several.
        weight: The run's λ; None if it has none.
        learned: The λ that the run's network takes; None for a single one.
    """
    where = with_results(results)
    place = [f"results_dir={quoted(str(results))}"] if where else []
    kept = [w for w in words if _group(w) in KEPT or _name(w) == "hydra.searchpath"]
    metric = [word for word in words if _group(word).partition("@")[0] == "metric"]
    tried = [factor * (weight or 0) for factor in AROUND]
    tried = [one for one in tried if learned is None or one in learned]
    if weight and len(tried) > 1 and any(_name(word) == "regularizer.weight" for word in words):
        kept = [word for word in kept if _name(word) not in OF_WEIGHTS]
        weights = f"regularizer.weight={','.join(f'{one:g}' for one in tried)}"
        swept, what = [*kept, *metric, weights, *place], "chooses λ"
    else:
        kept = [word for word in kept if _name(word) not in OF_ONE_METRIC]
        swept, what = [*kept, *_metrics(kept, metric), "seed=0,1", *place], "compares metrics"
    for command, what_for in (
        (f"{_python_path(words)}{RUN} -m {shlex.join(swept)}", what),
        (f"{BENCH} report{where}", "tables, figures, statistics, a page"),
        (f"{BENCH} data list", "further data sets, and where to put yours"),
    ):
        print(for_terminal(f"next: {command:<46}  # {what_for}"))


def _metrics(kept: Sequence[str], words: Sequence[str]) -> list[str]:
    """Words that choose several metrics, the run's among them as it was set."""
    learns_from_few = VARIATIONAL in kept or (CHANGES in kept and not _chooses_model(kept))
    metrics = ["mse", "deepsim_seg"] if learns_from_few else ["mse", "ncc", "mind"]
    chosen = [word.removeprefix("metric=") for word in words if word.startswith("metric=")]
    if not chosen or any(_group(word) != "metric" for word in words):  # or made of others
        return [f"metric={','.join(metrics)}"]
    if chosen[-1] not in metrics:
        metrics = [*metrics[:-1], chosen[-1]]
    settings = [word for word in words if not word.startswith("metric=")]
    return [f"metric={','.join(metrics)}", *settings]


def _python_path(words: Sequence[str]) -> str:
    """What lets Python find classes of the user's, as the environment says."""
    path = os.environ.get("PYTHONPATH")
    needed = path and os.name == "posix" and any("_target_=" in word for word in words)
    return f"PYTHONPATH={shlex.quote(str(path))} " if needed else ""


def _name(word: str) -> str:
    """The option that an override is about."""
    return word.lstrip("+~").partition("=")[0]


def _group(word: str) -> str:
    """The group of that option."""
    return _name(word).partition(".")[0]


def _chooses_model(words: Sequence[str]) -> bool:
    return any(word.startswith("model=") for word in words)
