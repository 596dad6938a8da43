"""What a report concludes, in sentences: each rests on a test over the same test pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import COMMON
from bench.analysis.numbers.paired import ALPHA, clusters_of
from bench.analysis.numbers.ranking import FEWEST_DATASETS, enough_for_ranks
from bench.analysis.numbers.standing import Standing, against, too_few
from bench.analysis.numbers.statistics import critical_difference, holm, wilcoxon
from bench.analysis.numbers.wording import signed, signed_interval

OVER_ALL = "Over data sets"


@dataclass(frozen=True)
class Conclusion:
    """A sentence or two.

    Attributes:
        about: The comparison, or `OVER_ALL`.
        text: What is concluded.
    """

    about: str
    text: str


def conclude(
    comparisons: Sequence[Comparison],
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    fronts: tuple[pd.DataFrame, pd.DataFrame],
    losses: tuple[pd.DataFrame, pd.DataFrame],
) -> list[Conclusion]:
    """The conclusions on Dice: of each comparison, then over data sets.

    "Significantly" means p < 0.05 by Wilcoxon's signed-rank test with Holm's correction.

    Args:
        comparisons: From `compare`.
        rows: Of `result_rows`.
        pairs: Of `compare_pairwise`.
        fronts: Of `compare_fronts`, of all comparisons.
        losses: Of `noise_losses`.
    """
    found: list[Conclusion] = []
    for one in comparisons:
        texts = [
            *_best("", *_dice_of(one, rows, pairs)),
            *_at_equal_smoothness(*(_of(frame, comparison=one.name) for frame in fronts)),
            *_gains(one),
            *_under_noise(*(_of(frame, comparison=one.name) for frame in losses)),
        ]
        found += [Conclusion(one.name, text) for text in texts]
    found += [Conclusion(OVER_ALL, text) for text in _over_data_sets(comparisons)]
    return found


def headlines(
    comparisons: Sequence[Comparison], rows: pd.DataFrame, pairs: pd.DataFrame
) -> list[Conclusion]:
    """The answer in a sentence for each comparison: its first conclusion, shorter.

    Args:
        comparisons: From `compare`.
        rows: Of `result_rows`.
        pairs: Of `compare_pairwise`.
    """
    found = []
    for one in comparisons:
        standing = Standing.of(*_dice_of(one, rows, pairs))
        if standing is None:
            continue
        text = f"{standing.best} registers best, with a Dice of {standing.mean['mean']:.3f}"
        text += f" ({standing.numbers}; unregistered {one.before('dice').mean():.3f})"
        if too_few(standing.mean["n"]):
            text += "; so few pairs tell no methods apart"
        elif not standing.alike:
            text += "; all others are significantly lower"
        else:
            text += f"; {_listed(standing.alike)} cannot be told from it"
            text += ", all others are significantly lower" if standing.lower else ""
        found.append(Conclusion(one.name, f"{text}."))
    return found


def _listed(labels: Sequence[str]) -> str:
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last


def _dice_of(
    one: Comparison, rows: pd.DataFrame, pairs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean Dice of the entries of a comparison, and the tests of every two."""
    means = _of(rows, comparison=one.name).set_index("label")
    means = means.reindex(columns=["dice", "dice_low", "dice_high", "n"])
    means.columns = pd.Index(["mean", "low", "high", "n"])
    tests = _of(pairs, comparison=one.name, score="dice")
    return means.loc[[entry.label for entry in one.entries]], tests


def _best(where: str, means: pd.DataFrame, tests: pd.DataFrame) -> Iterator[str]:
    """Who has the highest mean, who cannot be told from it, and who is lower.

    Args:
        where: What begins the sentence.
        means: By label: `mean`, `low`, `high`, `n`.
        tests: Of `pairwise`.
    """
    standing = Standing.of(means, tests)
    if standing is None:
        return
    behind = standing.behind
    text = f"{where}{standing.best} has the highest Dice, {standing.mean['mean']:.3f} "
    text += f"({standing.numbers})."
    if too_few(standing.mean["n"]):
        text += " No difference between so few can be significant."
    elif standing.alike:
        alike = [f"{label} ({signed(behind[label][0])})" for label in standing.alike]
        text += f" Not significantly lower: {', '.join(alike)}."
    if standing.lower:
        lower = [f"{n} ({signed(behind[n][0])}, {_p(behind[n][1])})" for n in standing.lower]
        text += f" Significantly lower: {', '.join(lower)}."
    yield text


def _at_equal_smoothness(fronts: pd.DataFrame, tests: pd.DataFrame) -> Iterator[str]:
    for level in dict.fromkeys(fronts["level"]) if len(fronts) else ():
        rows = _of(fronts, level=level)
        smoothness = rows["sdlogj"].iloc[0]
        own = _of(tests, level=level)
        means = rows.set_index("label")[["dice", "low", "high", "n"]]
        means = means.rename(columns={"dice": "mean"})
        if level == COMMON:
            yield from _best(f"At equal smoothness (SD log J {smoothness:.3f}) ", means, own)
            continue
        words: dict[str, list[str]] = {"higher": [], "lower": [], "not significantly different": []}
        for label in (label for label in means.index if label != level):
            difference, p = against(own, str(label), str(level))
            kind = "higher" if difference > 0 else "lower"
            kind = kind if p < ALPHA else "not significantly different"
            words[kind].append(f"{label} ({signed(difference)}, {_p(p)})")
        said = "; ".join(f"{kind}: {', '.join(labels)}" for kind, labels in words.items() if labels)
        yield (
            f"At the smoothness of {level} (SD log J {smoothness:.3f}), which has a Dice of "
            f"{means['mean'][level]:.3f}, others are {said}."
        )


def _gains(one: Comparison) -> Iterator[str]:
    """Who is better than no registration."""
    gains = one.scores("dice").sub(one.before("dice"), axis=0).dropna(axis=1, how="all")
    if gains.empty or too_few(len(gains)):
        return
    bootstrap = Bootstrap(clusters_of(one).codes)
    tested = holm(np.array([wilcoxon(gains[label].dropna().to_numpy()) for label in gains]))
    words: dict[str, list[str]] = {}
    for label, p in zip(gains, tested, strict=True):
        low, high = bootstrap.interval(gains[label].to_numpy())
        mean = gains[label].mean()
        change = "raise" if mean > 0 else "lower"
        kind = f"{change} it significantly" if p < ALPHA else "do not change it significantly"
        words.setdefault(kind, []).append(f"{label} ({signed(mean)}, {signed_interval(low, high)})")
    said = "; ".join(f"{', '.join(labels)} {kind}" for kind, labels in words.items())
    yield f"Unregistered pairs have a Dice of {one.before('dice').mean():.3f}: {said}."


def _under_noise(losses: pd.DataFrame, tests: pd.DataFrame) -> Iterator[str]:
    if len(losses) < 2:
        return
    ordered = losses.sort_values("loss", kind="stable").set_index("label")
    least = str(ordered.index[0])
    listed, more = [], []
    for label, row in ordered.iterrows():
        listed.append(
            f"{label} {signed(-row['loss'])} ({signed_interval(-row['high'], -row['low'])}; "
            f"SD log J {signed(row['roughening'])})"
        )
        difference, p = against(tests, str(label), least) if label != least else (0.0, 1.0)
        if p < ALPHA and difference > 0:
            more.append(str(label))
    text = f"Noise of {ordered['noise'].iloc[0]:g} changes the Dice of {', '.join(listed)}."
    yield text + (f" Significantly more than {least} lose {', '.join(more)}." if more else "")


def _over_data_sets(comparisons: Sequence[Comparison]) -> Iterator[str]:
    means = pd.DataFrame({one.name: one.scores("dice").mean() for one in comparisons}).T
    means = means.dropna(how="all").dropna(axis=1)
    if not enough_for_ranks(means):
        return
    ranks = means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    difference = critical_difference(means.shape[1], len(means))
    within = [str(label) for label in ranks.index[1:] if ranks[label] - ranks.iloc[0] <= difference]
    listed = ", ".join(f"{label} {place:.1f}" for label, place in ranks.items())
    text = (
        f"Mean ranks by Dice over {len(means)} data sets (at least {FEWEST_DATASETS}): {listed}. "
        f"The critical difference is {difference:.1f} (Nemenyi, 5 %)"
    )
    yield text + (f"; within it of the first: {', '.join(within)}." if within else ".")


def _of(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows with these values; an empty frame has none, whatever its columns."""
    for column, value in values.items():
        if frame.empty:
            return frame
        frame = frame[frame[column] == value]
    return frame


def _p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
