"""The leading score of one comparison, picked from the tables of all."""

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.standing import Difference


def leading(
    one: Comparison, rows: pd.DataFrame, pairs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means of the leading score of a comparison's entries, and the tests of every two."""
    columns = [one.lead, f"{one.lead}_low", f"{one.lead}_high", "n", "units"]
    means = rows_of(rows, comparison=one.name).set_index("label").reindex(columns=columns)
    means.columns = pd.Index(["mean", "low", "high", "n", "units"])
    tests = rows_of(pairs, comparison=one.name, score=one.lead)
    return means.loc[[entry.label for entry in one.entries]], tests


def gains_of(rows: pd.DataFrame) -> dict[str, Difference]:
    """By label, what a method gains over the unregistered pairs."""
    columns = ["gain", "gain_low", "gain_high", "gain_p"]
    known = rows.dropna(subset=["gain"]).set_index("label")[columns]
    return {
        str(label): Difference(*map(float, row))
        for label, row in zip(known.index, known.to_numpy(), strict=True)
    }


def column_of(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """A column of `result_rows` of one comparison, by label."""
    return dict(zip(rows["label"], rows[name].astype(float), strict=True))


def rows_of(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows with these values; an empty frame has none, whatever its columns."""
    for column, value in values.items():
        if frame.empty:
            return frame
        frame = frame[frame[column] == value]
    return frame
