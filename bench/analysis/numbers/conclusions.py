"""Conclusions of a report, in sentences; each rests on a test over the same test pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import COMMON
from bench.analysis.numbers.measure import Measure
from bench.analysis.numbers.over_datasets import by_noise, conclude_over, is_learned
from bench.analysis.numbers.paired import clusters_of
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.standing import Difference, Standing, against, fewest_tests, too_few
from bench.analysis.numbers.wording import pairs_in_groups, signed

TOO_FEW = " With so few pairs no difference can be significant"
NOT_INDEPENDENT = (
    "The test pairs share images, as neighbouring sections and frames do, which the tests take as "
    "independent: each p is somewhat too small."
)


@dataclass(frozen=True)
class Conclusion:
    """A sentence or two.

    Attributes:
        about: The comparison, or several, see `by_noise`.
        text: The conclusion.
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
    """The conclusions on the leading score: of each comparison, then over data sets.

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
        measure = Measure.leading(one)
        means, tests = _leading(one, rows, pairs)
        of_fronts = [_of(frame, comparison=one.name) for frame in fronts]
        texts = [
            *_best("", measure, means, tests),
            *_of_learned(one, measure, means, tests),
            *_at_equal_smoothness(one, measure, *of_fronts),
            *_over_unregistered(measure, _of(rows, comparison=one.name)),
            *_at_borders(_of(rows, comparison=one.name)),
            *_over_references(one, measure, means, tests),
            *_under_noise(one, measure, *(_of(frame, comparison=one.name) for frame in losses)),
        ]
        if any("Significantly" in text for text in texts) and clusters_of(one).share:
            texts.append(NOT_INDEPENDENT)
        found += [Conclusion(one.name, text) for text in texts]
    for about, group in by_noise(comparisons).items():
        found += [Conclusion(about, text) for text in conclude_over(group, fronts[1])]
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
        measure = Measure.leading(one)
        standing = Standing.of(*_leading(one, rows, pairs), measure.direction)
        of_one = _of(rows, comparison=one.name)
        text = _of_many(measure, standing, of_one) if standing else _of_single(measure, of_one)
        if text:
            found.append(Conclusion(one.name, f"{text}."))
    return found


def _of_many(measure: Measure, standing: Standing, rows: pd.DataFrame) -> str:
    """The best mean, and the methods that do not differ significantly from it."""
    before = _column(rows, measure.score.name)[UNREGISTERED]
    best, title = measure.best, measure.title
    text = f"{standing.best} has the {best} mean {title}, "
    if measure.score.is_better(before, standing.mean["mean"]):
        text = (
            f"Unregistered pairs have the {best} mean {title}. The best method is {standing.best} "
            "with "
        )
    text += f"{measure.value(standing.mean['mean'])} ({_certainty(measure, standing.mean)}; "
    text += f"unregistered {measure.value(before)})"
    if standing.undecidable:
        following, difference = next(iter(standing.behind.items()))
        return f"{text}.{TOO_FEW} (next: {following} {measure.change(difference.mean)})"
    if standing.alike:
        text += f". Not significantly {measure.worse}: {_listed(standing.alike)}"
    return text + (f". All others are significantly {measure.worse}" if standing.worse else "")


def _of_single(measure: Measure, rows: pd.DataFrame) -> str:
    """What the only method changes; empty if it has no value."""
    if not _gains(rows):
        return ""
    ((label, gain),) = _gains(rows).items()
    means = _column(rows, measure.score.name)
    before, after = measure.value(means[UNREGISTERED]), measure.value(means[label])
    pairs, units = (int(_column(rows, name)[label]) for name in ("n", "units"))
    facts = [measure.change(gain.mean), *_limits(measure, gain, "95 % interval ")]
    if too_few(units):
        verb, ending = "changes", "So few pairs cannot show a significant change"
    else:
        facts.append(_p(gain.p))
        verb = "raises" if gain.mean > 0 else "lowers"
        ending = "No other method was run"
        if not gain.significant:
            verb, ending = "changes", f"The change is not significant. {ending}"
    said = ", ".join([*facts, pairs_in_groups(pairs, units)])
    return (
        f"{label} {verb} {measure.title} from {before} unregistered to {after} ({said}). {ending}"
    )


def _listed(labels: Sequence[str]) -> str:
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last


def _leading(
    one: Comparison, rows: pd.DataFrame, pairs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means of the leading score of a comparison's entries, and the tests of every two."""
    columns = [one.lead, f"{one.lead}_low", f"{one.lead}_high", "n", "units"]
    means = _of(rows, comparison=one.name).set_index("label").reindex(columns=columns)
    means.columns = pd.Index(["mean", "low", "high", "n", "units"])
    tests = _of(pairs, comparison=one.name, score=one.lead)
    return means.loc[[entry.label for entry in one.entries]], tests


def _certainty(measure: Measure, mean: Mapping[str, float]) -> str:
    """Interval, if there is one, and number of test pairs of a mean."""
    known = mean["low"] == mean["low"]
    limits = [measure.limits(mean["low"], mean["high"])] if known else []
    return ", ".join([*limits, pairs_in_groups(int(mean["n"]), int(mean["units"]))])


def _best(where: str, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame) -> Iterator[str]:
    """The best mean, the methods that do not differ significantly from it, and the worse ones.

    Args:
        where: What begins the sentence.
        measure: What is compared.
        means: By label: `mean`, `low`, `high`, `n`, `units`.
        tests: Of `pairwise`.
    """
    standing = Standing.of(means, tests, measure.direction)
    if standing is None:
        return
    behind = standing.behind
    text = f"{where}{standing.best} has the {measure.best} {measure.title}, "
    text += f"{measure.value(standing.mean['mean'])} ({_certainty(measure, standing.mean)})."
    if standing.undecidable:
        differences = [f"{label} {measure.change(one.mean)}" for label, one in behind.items()]
        text += f"{TOO_FEW}: {', '.join(differences)}."
    elif standing.alike:
        alike = [f"{label} ({measure.change(behind[label].mean)})" for label in standing.alike]
        text += f" Not significantly {measure.worse}: {', '.join(alike)}."
    if standing.worse:
        worse = [
            f"{label} ({measure.change(behind[label].mean)}, {_p(behind[label].p)})"
            for label in standing.worse
        ]
        text += f" Significantly {measure.worse}: {', '.join(worse)}."
    yield text


def _at_equal_smoothness(
    one: Comparison, measure: Measure, fronts: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    for level in dict.fromkeys(fronts["level"]) if len(fronts) else ():
        rows = _of(fronts, level=level)
        smoothness = rows["sdlogj"].iloc[0]
        own = _of(tests, level=level)
        means = rows.set_index("label")[["mean", "low", "high", "n", "units"]]
        if level == COMMON:
            where = f"At equal smoothness (SD log J {smoothness:.3f}) "
            lacking = [e.label for e in one.entries if e.several and e.label not in means.index]
            for text in _best(where, measure, means, own):
                yield text + (
                    f" No λ of {_listed(lacking)} reaches this smoothness." if lacking else ""
                )
            for text in _of_learned(one, measure, means, own):
                yield f"At equal smoothness {text}"
            continue
        others = {str(n): against(own, str(n), str(level)) for n in means.index if n != level}
        text = f"At the smoothness of {level} (SD log J {smoothness:.3f}), {level} has a "
        text += f"{measure.title} of {measure.value(means['mean'][level])}. "
        few = too_few(means["units"].max(), fewest_tests(own, str(level)))
        yield f"{text}{_sorted_out(measure, others)}{f'{TOO_FEW}.' if few else ''}"


def _of_learned(
    one: Comparison, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """How metrics of intensities compare with the best learned features, if one can be said.

    Args:
        one: What is concluded on.
        measure: What is compared.
        means: By label: `mean` and `units`.
        tests: Of `pairwise`.
    """
    references = {entry.label for entry in one.entries if entry.is_reference}
    known = means.dropna(subset=["mean"]).sort_values(
        "mean", ascending=measure.direction == "min", kind="stable"
    )
    metrics = [label for label in map(str, known.index) if label not in references]
    learned = [label for label in metrics if is_learned(label)]
    if not learned or len(learned) == len(metrics):
        return
    best = learned[0]
    if too_few(known["units"].max(), fewest_tests(tests, best)):
        return
    others = {label: against(tests, label, best) for label in metrics if not is_learned(label)}
    yield (
        f"{best} is the best metric with learned features: {measure.title} "
        f"{measure.value(known['mean'][best])}. {_sorted_out(measure, others)}"
    )


def _over_unregistered(measure: Measure, rows: pd.DataFrame) -> Iterator[str]:
    """Methods that are better than no registration."""
    gains = _gains(rows)
    few = too_few(rows["units"].max(), len(gains))
    if not gains or (few and len(gains) > 1):
        return
    before = _column(rows, measure.score.name)[UNREGISTERED]
    text = f"Unregistered pairs have a {measure.title} of {measure.value(before)}. "
    yield f"{text}{_sorted_out(measure, gains)}{f'{TOO_FEW}.' if few else ''}"


def _at_borders(rows: pd.DataFrame) -> Iterator[str]:
    """Methods whose best λ may lie beyond those tried."""
    labels = list(map(str, rows.loc[rows["at_border"].eq(True), "label"]))
    if labels:
        yield (
            f"The best λ of {_listed(labels)} is the smallest or largest tried. A λ beyond it may "
            "be better."
        )


def _gains(rows: pd.DataFrame) -> dict[str, Difference]:
    """By label, what a method gains over the unregistered pairs."""
    columns = ["gain", "gain_low", "gain_high", "gain_p"]
    known = rows.dropna(subset=["gain"]).set_index("label")[columns]
    return {
        str(label): Difference(*map(float, row))
        for label, row in zip(known.index, known.to_numpy(), strict=True)
    }


def _column(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """A column of `result_rows` of one comparison, by label."""
    return dict(zip(rows["label"], rows[name].astype(float), strict=True))


def _over_references(
    one: Comparison, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """Metrics that are better than each method without a metric, such as affine and SyN."""
    known = means.dropna(subset=["mean"])
    references = [e.label for e in one.entries if e.is_reference and e.label in known.index]
    metrics = [e.label for e in one.entries if not e.is_reference and e.label in known.index]
    for reference in references if metrics else ():
        if too_few(known["units"].max(), fewest_tests(tests, reference)):
            continue
        others = {label: against(tests, label, reference) for label in metrics}
        mean = measure.value(known["mean"][reference])
        yield f"{reference} has a {measure.title} of {mean}. {_sorted_out(measure, others)}"


def _sorted_out(measure: Measure, others: Mapping[str, Difference]) -> str:
    """A sentence each on who is significantly better, worse, and not different, and by how much."""
    words: dict[str, list[str]] = {
        f"Significantly {measure.better}": [],
        f"Significantly {measure.worse}": [],
        "Not significantly different": [],
    }
    better, worse, alike = words
    for label, difference in others.items():
        above = (difference.mean > 0) == (measure.direction == "max")
        kind = alike if not difference.significant else better if above else worse
        facts = [measure.change(difference.mean), *_limits(measure, difference)]
        words[kind].append(f"{label} ({', '.join([*facts, _p(difference.p)])})")
    return " ".join(f"{kind}: {', '.join(labels)}." for kind, labels in words.items() if labels)


def _limits(measure: Measure, difference: Difference, name: str = "") -> list[str]:
    """The interval of a difference, with its name; empty if it is unknown."""
    if difference.low != difference.low:
        return []
    return [f"{name}{measure.change_limits(difference.low, difference.high)}"]


def _under_noise(
    one: Comparison, measure: Measure, losses: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """What noise costs each method, and which lose more than the metric that loses least."""
    if len(losses) < 2:
        return
    ordered = losses.sort_values("loss", kind="stable").set_index("label")
    references = {entry.label for entry in one.entries if entry.is_reference}
    metrics = [str(label) for label in ordered.index if label not in references]
    least = metrics[0] if metrics else str(ordered.index[0])
    listed, more = [], []
    for label, row in ordered.iterrows():
        change, low, high = row["loss"], row["low"], row["high"]
        if measure.direction == "max":
            change, low, high = -change, -high, -low
        listed.append(
            f"{label} {measure.change(change)} ({measure.change_limits(low, high)}; "
            f"SD log J {signed(row['roughening'])})"
        )
        if label != least:
            difference = against(tests, str(label), least)
            if difference.significant and difference.mean > 0:
                more.append(str(label))
    text = f"Noise of {ordered['noise'].iloc[0]:g} changes {measure.title}: {', '.join(listed)}."
    if more:
        text += f" Significantly larger losses than {least}: {', '.join(more)}."
    elif too_few(tests["units"].max(), fewest_tests(tests, least)):
        text += f"{TOO_FEW}."
    yield text


def _of(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows with these values; an empty frame has none, whatever its columns."""
    for column, value in values.items():
        if frame.empty:
            return frame
        frame = frame[frame[column] == value]
    return frame


def _p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
