"""Whether metrics that see a deformation under changed appearance also register better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bench.analysis.numbers.bootstrap import LEVEL, Bootstrap
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import at_equal_smoothness
from bench.analysis.numbers.paired import ALPHA, bootstrap_of
from bench.analysis.numbers.perception import Perceived, Variant, steps_of_extractors
from bench.analysis.numbers.wording import interval, signed
from bench.scores.registry import SCORES

GEOMETRY = "geometry"
FEWEST = 4  # metrics
DRAWS = 10_000  # of the permutations, where there are more


@dataclass(frozen=True)
class Agreement:
    """Geometry score and registration of the same metrics on one data set.

    Attributes:
        name: Of the comparison of registrations.
        score: By which registrations are judged: Dice, or TRE.
        smoothness: Mean SD log J at which they are.
        rows: A row for each metric: `comparison`, `label`, `metric`, `geometry` and the score, each
            with NAME_low and NAME_high.
        correlation: Spearman's, positive if metrics of a better geometry register better.
        low: Lower limit of its 95 % interval, by a bootstrap over images and over test pairs.
        high: Upper limit.
        null: (n,) correlations where metrics are permuted: all, or random ones of many.
        steps: By metric whose extractors trained longer for one than for the other, for how many
            steps: for perception, and for registration.
    """

    name: str
    score: str
    smoothness: float
    rows: pd.DataFrame
    correlation: float
    low: float
    high: float
    null: np.ndarray
    steps: Mapping[str, tuple[int | None, int | None]]

    @property
    def p(self) -> float:
        """Share of the permutations with a correlation as far from 0."""
        return _share_as_far(self.null, self.correlation)


def agreements(
    comparisons: Sequence[Comparison], perceived: Sequence[Perceived]
) -> list[Agreement]:
    """Agreement on each data set that has both registrations and runs of perception.

    Both must add the same noise to the images; cropping may differ. Metrics are matched by name,
    learned ones however long they were trained. Metrics with several variants are left out, those
    that ignore the deformation, and data sets on which fewer than four metrics have both scores;
    `not_compared` names these.

    Args:
        comparisons: Of registrations.
        perceived: Of `bench.analysis.numbers.perception.perceived`.
    """
    return [
        _agreement(comparison, judged)
        for comparison in comparisons
        for other in perceived
        if _of_one_kind(comparison, other)
        and len(judged := _with_both(comparison, other)) >= FEWEST
    ]


def not_compared(
    comparisons: Sequence[Comparison], perceived: Sequence[Perceived]
) -> list[tuple[str, str]]:
    """Data sets of which `agreements` has nothing to say, each with the reason.

    Args:
        comparisons: Of registrations.
        perceived: Of `bench.analysis.numbers.perception.perceived`.
    """
    said = "perception is not compared with registration:"
    none = f"{said} no registration of this data set, with the same noise, has finished"
    found = []
    for other in perceived:
        alike = [one for one in comparisons if _of_one_kind(one, other)]
        if not alike:
            found.append((other.name, none))
        for comparison in alike:
            names = [v.metric for v in _with_both(comparison, other).values()]
            if len(names) < FEWEST:
                has = f"{len(names)} ({', '.join(names)})" if names else "none"
                reason = f"that needs {FEWEST} metrics with both scores, and there are {has}"
                found.append((other.name, f"{said} {reason}{_several(comparison, other)}"))
    return list(dict.fromkeys(found))


def with_registrations(
    perceived: Sequence[Perceived], comparisons: Sequence[Comparison]
) -> list[Perceived]:
    """Those on data sets that were registered, too."""
    return [one for one in perceived if one.dataset in {other.dataset for other in comparisons}]


def _of_one_kind(comparison: Comparison, perceived: Perceived) -> bool:
    """Whether both are of one data set with the same noise."""
    noises = (one.reading.get("added_noise") for one in (comparison, perceived))
    return comparison.dataset == perceived.dataset and len(set(noises)) == 1


def _with_both(comparison: Comparison, perceived: Perceived) -> dict[str, Variant]:
    """By label of the registrations, what has both scores, in one variant each."""
    metrics = _metrics(comparison)
    geometry = {
        metric: variants[0]
        for metric, variants in perceived.trained().items()
        if len(variants) == 1 and GEOMETRY in variants[0].images
    }
    unique = [label for label in metrics if list(metrics.values()).count(metrics[label]) == 1]
    return {label: geometry[metrics[label]] for label in unique if metrics[label] in geometry}


def _metrics(comparison: Comparison) -> dict[str, str]:
    """By label, the metric of what is compared at equal smoothness."""
    _, registered = at_equal_smoothness(comparison)
    return {entry.label: entry.metric for entry in comparison.entries if entry.label in registered}


def _several(comparison: Comparison, perceived: Perceived) -> str:
    """Metrics that do not count, since it is not clear which of their variants should."""
    registering = list(_metrics(comparison).values())
    names = [
        metric
        for metric, variants in perceived.trained().items()
        if metric in registering and (len(variants) > 1 or registering.count(metric) > 1)
    ]
    return f"; these have several variants and do not count: {', '.join(names)}" if names else ""


def _agreement(comparison: Comparison, judged: Mapping[str, Variant]) -> Agreement:
    smoothness, registered = at_equal_smoothness(comparison)
    metrics = {label: variant.metric for label, variant in judged.items()}
    registering = {e.label: steps_of_extractors(e.choice.runs) for e in comparison.entries}
    labels = list(judged)
    images = pd.DataFrame({label: judged[label].images[GEOMETRY] for label in labels}).dropna()
    pairs = registered[labels].dropna()
    of_images, of_pairs = Bootstrap(np.arange(len(images))), bootstrap_of(comparison)
    kept = of_pairs.of(pairs.index.to_numpy())
    sign = 1 if SCORES[comparison.lead].best == "max" else -1
    x, y = images.mean().to_numpy(), sign * pairs.mean().to_numpy()
    drawn = _correlations(
        _ranks(
            of_images.means(images.to_numpy())[::-1]
        ),  # draws of its own, not those of the pairs
        _ranks(sign * kept.means(pairs.to_numpy())),
    )
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    rows = [
        {
            "comparison": comparison.name,
            "label": label,
            "metric": metrics[label],
            **_limits(GEOMETRY, images[label], of_images),
            **_limits(comparison.lead, pairs[label], kept),
        }
        for label in labels
    ]
    return Agreement(
        comparison.name,
        comparison.lead,
        smoothness,
        pd.DataFrame(rows),
        float(_correlations(_ranks(x), _ranks(y))),
        float(low),
        float(high),
        _permuted(x, y),
        {
            metrics[label]: steps
            for label in labels
            if len(set(steps := (judged[label].steps, registering[label]))) > 1
        },
    )


def _limits(name: str, values: pd.Series, bootstrap: Bootstrap) -> dict[str, float]:
    low, high = bootstrap.interval(values.to_numpy())
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, of mean 0 and length 1; all 0 where all values are one."""
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    length = np.sqrt(np.square(ranks).sum(-1, keepdims=True))
    return ranks / np.where(length > 0, length, 1)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(-1)


def _permuted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlations of x with y in every order, or in random ones where there are many."""
    if factorial(len(y)) <= DRAWS:
        orders = np.array(list(permutations(range(len(y)))))
    else:
        random = np.random.default_rng(0)
        orders = random.permuted(np.tile(np.arange(len(y)), (DRAWS, 1)), axis=1)
        orders[0] = np.arange(len(y))  # the order that was seen is one of them
    return _correlations(_ranks(x)[None], _ranks(y)[orders])


def _share_as_far(null: np.ndarray, value: float) -> float:
    return float((np.abs(null) >= abs(value) - 1e-9).mean())


def agreement_sentences(found: Sequence[Agreement]) -> list[str]:
    """What each data set says, and all together."""
    said = [_sentence(one) for one in found]
    if len(found) > 1:
        random = np.random.default_rng(0)
        null = np.mean([random.choice(one.null, DRAWS) for one in found], axis=0)
        mean = float(np.mean([one.correlation for one in found]))
        null[0] = mean  # what was seen is one of them
        said.append(
            f"Across {len(found)} data sets, the mean rank correlation is {_signed(mean)} (p = "
            f"{_share_as_far(null, mean):.2g}, metrics permuted within each data set). "
            f"{_verdict(mean, _share_as_far(null, mean))}."
        )
    return said


def _sentence(one: Agreement) -> str:
    return (
        f"{one.name}: across {len(one.rows)} metrics, the rank correlation between the geometry "
        f"score and {SCORES[one.score].title} at equal smoothness (SD log J "
        f"{one.smoothness:.3f}) is {_signed(one.correlation)} (95 % bootstrap "
        f"interval for these metrics {interval(one.low, one.high, 2)}; p = {one.p:.2g} if metrics "
        f"are permuted). {_verdict(one.correlation, one.p)}.{_differing(one.steps)}"
    )


def _differing(steps: Mapping[str, tuple[int | None, int | None]]) -> str:
    """A sentence on extractors that did not train as long for perception as for registration."""
    listed = ", ".join(
        f"{name} ({seen or 'no'} steps and {used or 'no'})" for name, (seen, used) in steps.items()
    )
    return (
        f" Extractors trained less or more than those that registered: {listed}." if steps else ""
    )


def _signed(correlation: float) -> str:
    """A correlation with its sign; one of 0 may be a little less by rounding."""
    return signed(round(correlation, 2) + 0.0, 2)


def _verdict(correlation: float, p: float) -> str:
    if p >= ALPHA:
        return "There is no evidence that the geometry score predicts registration"
    how = "better" if correlation > 0 else "worse"
    return f"Metrics with a better geometry score register {how}"
