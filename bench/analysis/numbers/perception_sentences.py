"""Sentences on which metrics order deformations correctly under changed appearance."""

from collections.abc import Iterator

import pandas as pd

from bench.analysis.numbers.perception import CHANCE, COUNT
from bench.analysis.numbers.sentences import listed
from bench.analysis.numbers.standing import too_few
from bench.analysis.numbers.wording import interval
from bench.errors import counted

GEOMETRY = "geometry"


def perception_sentences(rows: pd.DataFrame) -> list[str]:
    """Which metrics order deformations correctly under changed appearance, by data set.

    A score differs from chance if its interval leaves chance out and there are enough images for a
    sign test over them to be significant, see `too_few`; with fewer, the scores are listed. Metrics
    that ignore the deformation take no part, and a sentence of their own names them.

    Args:
        rows: Of `perception_rows`.
    """
    return [
        sentence
        for name, one in rows.groupby("comparison", sort=False)
        for sentence in _sentences(str(name), one)
    ]


def _sentences(comparison: str, rows: pd.DataFrame) -> Iterator[str]:
    judged = rows[rows["warning"] == ""]
    known = judged.dropna(subset=GEOMETRY) if GEOMETRY in judged else judged[:0]
    known = known.sort_values(GEOMETRY, ascending=False, kind="stable") if len(known) else known
    if len(known):
        counts = known[f"{GEOMETRY}{COUNT}"]
        where = f"{comparison}, {counted(int(counts.min()), 'test image')}"
        few = too_few(counts.min())
        yield f"{where}: {_scores(known) if few else _verdicts(known)}"
    for warning, distrusted in rows[rows["warning"] != ""].groupby("warning", sort=False):
        names = listed([str(label) for label in distrusted["label"]])
        verb = "is" if len(distrusted) == 1 else "are"
        yield (
            f"{comparison}: {names} {verb} left out of these sentences, of bold marks and of the "
            f"comparison with registration. {warning}."
        )


def _scores(known: pd.DataFrame) -> str:
    """The scores of so few images that none can be told from chance."""
    scores = zip(known["label"], known[GEOMETRY], strict=True)
    texts = [f"{label} ({mean:.3f})" for label, mean in scores]
    return (
        "share of pairs in which the less deformed of two images with the same MSE is nearer: "
        f"{', '.join(texts)}. So few images cannot show a difference from chance, {CHANCE:g}."
    )


def _verdicts(known: pd.DataFrame) -> str:
    """Which scores are above chance, below it, and not different from it."""
    right, wrong = known["geometry_low"] > CHANCE, known["geometry_high"] < CHANCE
    said = [
        f"{what} {_with_intervals(known[chosen])}."
        for what, chosen in (
            ("the less deformed one is nearer according to", right),
            ("the more deformed one, whose appearance differs less, is nearer according to", wrong),
            ("the order does not differ from chance according to", ~(right | wrong)),
        )
        if chosen.any()
    ]
    first, *others = said
    further = "".join(f" {text[0].upper()}{text[1:]}" for text in others)
    return f"of two deformed images with the same MSE, {first}{further}"


def _with_intervals(rows: pd.DataFrame) -> str:
    columns = (rows[name] for name in ("label", "geometry", "geometry_low", "geometry_high"))
    texts = [
        f"{label} ({mean:.3f}, {interval(low, high)})"
        for label, mean, low, high in zip(*columns, strict=True)
    ]
    return ", ".join(texts)
