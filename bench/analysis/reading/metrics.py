"""The metrics of the suite: their order, colour and marker, the same everywhere."""

from collections.abc import Mapping
from typing import Any

Marker = str | tuple[int, int, int]  # as matplotlib takes it: tips, 0 polygon or 1 star, degrees

# Baselines in blues, semantic metrics in orange-reds, both from light to dark, so that they differ
# in grey too; markers tell apart what is close.
METRICS: dict[str, tuple[str, Marker]] = {
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

FURTHER_METHODS: dict[str, tuple[str, Marker]] = {  # without a metric, and metrics used less
    "identity": ("#6b6b6b", "8"),
    "affine": ("#8b7fb8", "d"),
    "syn": ("#5f9e6e", "h"),
    "demons": ("#b07aa1", (5, 1, 180)),
    "fields": ("#a3a3a3", (3, 1, 90)),
    "change_segmenter": ("#4a4a4a", (5, 0, 180)),
    "image_vae": ("#9a7b66", (3, 1, 150)),
    "ssim": ("#c4d6a0", (10, 1, 0)),
    "ms_ssim": ("#8fae5d", (11, 1, 0)),
    "keypoints": ("#d9b3c9", (12, 1, 0)),
    "sum": ("#5c7f8f", (9, 1, 0)),
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
