"""The metrics of the suite: their order, colour and marker, the same everywhere."""

from collections.abc import Mapping
from typing import Any

# Baselines in blues, semantic metrics in orange-reds, both from light to dark, so that they differ
# in grey too; markers tell apart what is close.
METRICS: dict[str, tuple[str, str]] = {
    "mse": ("#a9cfea", "o"),
    "ncc": ("#6baed6", "s"),
    "ncc_sup": ("#3282be", "D"),
    "nmi": ("#17559f", "^"),
    "mind": ("#08244f", "v"),
    "dice": ("#4fb3bf", "P"),
    "vgg": ("#fdc38d", "<"),
    "deepsim_ae": ("#f88d3c", ">"),
    "deepsim_csr": ("#dd4f1c", "p"),
    "deepsim_seg": ("#8f0d08", "X"),
}


def metric_order(metric: str) -> tuple[int, str]:
    """Sorts metrics: baselines, semantic ones, then others by name."""
    known = list(METRICS)
    return (known.index(metric) if metric in known else len(known), metric)


def method_of(names: Mapping[str, Any]) -> str:
    """What registered, as tables call it: the metric, or the model where it uses none.

    Args:
        names: A run's header or summary.
    """
    return str(names.get("metric") or names.get("model"))


def problem_of(names: Mapping[str, Any]) -> str:
    """What a run of synthesis makes; empty for another task.

    Args:
        names: A run's summary.
    """
    return str(names.get("problem") or "")


def weight_symbol(names: Mapping[str, Any]) -> str:
    """What the weight of a run is called: c in a synthesis, else λ.

    Args:
        names: A run's summary.
    """
    return "c" if problem_of(names) else "λ"
