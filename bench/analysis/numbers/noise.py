"""Cost of noise: the same test pairs of a data set with and without `dataset.added_noise`."""

from collections.abc import Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.paired import bootstrap_of, pairwise
from bench.scores.registry import SCORES

ADDED = "added_noise"
NOISE_COLUMNS = [
    *("comparison", "score", "clean", "noise", "label", "n", "loss", "low", "high", "roughening"),
]


def noise_losses(comparisons: Sequence[Comparison]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How much of the leading score each method loses under noise, λ chosen under each by itself.

    Returns:
        Columns `comparison` and `clean` (names of the comparisons with and without noise), `score`
        (its name), `noise` (standard deviation), `label`, `n` (test pairs), `loss`, by which its
        mean becomes worse, with the 95 % interval `low` to `high`, and `roughening`, the gain in
        mean SD log J; and every two methods: the columns of `pairwise`, of losses, after
        `comparison`.
    """
    rows, tables = [], []
    for noisy in comparisons:
        clean = without_noise(noisy, comparisons)
        if clean is None:
            continue
        level = float(noisy.reading[ADDED])
        losses = clean.scores(clean.lead) - noisy.scores(clean.lead)
        losses = losses.dropna(axis=1, how="all")
        losses = losses if SCORES[clean.lead].best == "max" else -losses
        rougher = noisy.scores("sdlogj").mean() - clean.scores("sdlogj").mean()
        bootstrap = bootstrap_of(noisy)
        for label in map(str, losses):
            values = losses[label]
            low, high = bootstrap.interval(values.to_numpy())
            facts = [noisy.name, clean.lead, clean.name, level, label, int(values.notna().sum())]
            rows.append([*facts, values.mean(), low, high, rougher[label]])
        references = [entry.label for entry in noisy.entries if entry.is_reference]
        table = pairwise(losses, bootstrap, references)
        table.insert(0, "comparison", noisy.name)
        tables.append(table)
    frame = pd.DataFrame(rows, columns=NOISE_COLUMNS)
    return frame, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def without_noise(noisy: Comparison, comparisons: Sequence[Comparison]) -> Comparison | None:
    """The comparison on the same test pairs, read alike, without noise; None if there is none."""
    without = {key: value for key, value in noisy.reading.items() if key != ADDED}
    if not noisy.reading.get(ADDED):
        return None
    for one in comparisons:
        alike = one.dataset == noisy.dataset and dict(one.reading) == without
        if alike and one.subjects.equals(noisy.subjects):
            return one
    return None
