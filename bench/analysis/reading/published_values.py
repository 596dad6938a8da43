"""The papers' values, as rows for the same tables and figures; sources in published/."""

from importlib.resources import files

import pandas as pd

from bench.analysis.reading.metrics import metric_order
from bench.analysis.reading.rows import read_frame

# By the papers' definitions. Their folding is on absolute differences, and is no score here.
SCORE_OF = {"dice_mean": "dice_published", "log_jacobian_variance": "logj_var_published"}
NETWORK = "voxelmorph"


def published_results() -> pd.DataFrame:
    """The papers' test means, in the columns of `bench.analysis.numbers.results`.

    Returns:
        `comparison` (the data set, with `(syn)` for those of SyN), `dataset`, `label` and `metric`,
        `n` test pairs where they are given, `dice_published`, `dice_published_std`,
        `logj_var_published`.
    """
    rows = _read("results.csv").rename(
        columns={**SCORE_OF, "metric": "label", "dice_std": "dice_published_std", "test_pairs": "n"}
    )
    network = rows["method"] == NETWORK
    rows["comparison"] = rows["dataset"].where(
        network, rows["dataset"] + " (" + rows["method"] + ")"
    )
    rows["metric"] = rows["label"]
    rows["order"] = [metric_order(metric) for metric in rows["metric"]]
    rows = rows.sort_values(["comparison", "order"])
    columns = ["comparison", "dataset", "label", "metric", "n", "dice_published"]
    columns += ["dice_published_std", "logj_var_published"]
    return rows[columns].reset_index(drop=True)


def published_dice(dataset: str, metric: str) -> float:
    """The papers' test Dice of a metric on a data set; NaN if they give none."""
    rows = published_results()
    found = rows[(rows["comparison"] == dataset) & (rows["metric"] == metric)]
    return float(found["dice_published"].iloc[0]) if len(found) else float("nan")


def published_weight_curves() -> pd.DataFrame:
    """Validation Dice with background: `dataset`, `metric`, `weight`, `val_dice_mean`."""
    return _read("weight_curves.csv")


def published_noise_curves() -> pd.DataFrame:
    """Test Dice with background under noise: `dataset`, `metric`, `level`, `dice`."""
    return _read("noise_curves.csv").rename(columns={"noise_std": "level", "dice_mean": "dice"})


def published_changes() -> pd.DataFrame:
    """AUC of changes, read off a figure: `data`, `method`, `auc`."""
    return _read("changes.csv")


def _read(name: str) -> pd.DataFrame:
    with files("bench.analysis.reading").joinpath("published", name).open(encoding="utf-8") as file:
        return read_frame(file)
