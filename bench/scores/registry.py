"""The registry of scores. A new score is an entry here, and its function."""

from typing import Any

from bench.scores.of_changes import change_scores
from bench.scores.of_images import PERCEPTION, SYNTHESIS
from bench.scores.score import Score, resolve


def make_ready() -> None:
    """Imports what the scores are computed by, which fails before a training, if it does."""
    for score in SCORES.values():
        for reference in filter(None, (score.function, score.per_class)):
            resolve(reference)


OVERLAP, SMOOTHNESS = "bench.scores.overlap", "bench.scores.smoothness"
LANDMARKS = "bench.scores.landmarks"

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            "dice",
            "Dice",
            best="max",
            digits=3,
            description="mean over foreground classes; a class absent from both images is left out",
            kind="overlap",
            needs=("labels",),
            function=f"{OVERLAP}:dice",
            per_class=f"{OVERLAP}:dice_of_classes",
            in_validation=True,
            in_short=True,
        ),
        Score(
            "dice_published",
            "Dice (published)",
            best="max",
            digits=3,
            description="mean over all classes with background; a class absent from both counts "
            "as 0",
            kind="overlap",
            needs=("labels",),
            function=f"{OVERLAP}:dice_published",
        ),
        Score(
            "hd95",
            "HD95",
            best="min",
            digits=2,
            description="95th percentile of the surface distance, larger direction, mean over "
            "foreground classes that both images have",
            kind="overlap",
            needs=("labels",),
            function=f"{OVERLAP}:hd95",
            per_class=f"{OVERLAP}:hd95_of_classes",
            unit="mm",
            in_spacing=True,
            in_short=True,
        ),
        Score(
            "hd95_left_out",
            "HD95: classes left out",
            best="min",
            digits=2,
            description="foreground classes that one of the images has and the other lacks, whose "
            "distance HD95 leaves out",
            kind="overlap",
            needs=("labels",),
            function=f"{OVERLAP}:hd95_left_out",
            compared=False,
            hides_zero=True,
        ),
        Score(
            "tre",
            "TRE",
            best="min",
            digits=2,
            description="distance of mapped fixed landmarks from those of the moving image, mean "
            "over landmarks",
            kind="landmarks",
            needs=("landmarks",),
            function=f"{LANDMARKS}:tre",
            unit="mm",
            in_spacing=True,
            in_short=True,
            quantile=0.7,
        ),
        Score(
            "tre_median",
            "TRE (median)",
            best="min",
            digits=2,
            description="the same distance, median over landmarks",
            kind="landmarks",
            needs=("landmarks",),
            function=f"{LANDMARKS}:tre_median",
            unit="mm",
            in_spacing=True,
        ),
        Score(
            "rtre",
            "rTRE",
            best="min",
            digits=4,
            description="median distance over the diagonal of the image",
            kind="landmarks",
            needs=("landmarks",),
            function=f"{LANDMARKS}:rtre",
        ),
        Score(
            "nearer",
            "Landmarks nearer",
            best="max",
            digits=3,
            description="share of landmarks that are nearer than before the registration",
            kind="landmarks",
            needs=("landmarks",),
            function=f"{LANDMARKS}:nearer",
            has_before=False,
        ),
        Score(
            "folding",
            "Folding",
            best="min",
            digits=5,
            description="fraction of voxels with signed Jacobian <= 0",
            kind="smoothness",
            needs=("displacement",),
            function=f"{SMOOTHNESS}:folding_of",
            in_validation=True,
            in_short=True,
        ),
        Score(
            "sdlogj",
            "SD log J",
            best="min",
            digits=4,
            description="standard deviation of the log Jacobian, determinants shifted and clipped "
            "as the Learn2Reg challenge does",
            kind="smoothness",
            needs=("displacement",),
            function=f"{SMOOTHNESS}:sdlogj_of",
            in_short=True,
        ),
        Score(
            "sdlogj_positive",
            "SD log J (J > 0)",
            best="min",
            digits=4,
            description="standard deviation of the log Jacobian where it is positive, not shifted",
            kind="smoothness",
            needs=("displacement",),
            function=f"{SMOOTHNESS}:sdlogj_positive_of",
        ),
        Score(
            "ndv",
            "NDV",
            best="min",
            digits=5,
            description="non-diffeomorphic volume: that of tetrahedra (in 2D triangles) turned "
            "inside out, over the grid's",
            kind="smoothness",
            needs=("displacement",),
            function=f"{SMOOTHNESS}:nondiffeomorphic_volume_of",
        ),
        Score(
            "logj_var_published",
            "Var log J (published)",
            best="min",
            digits=4,
            description="variance of the log Jacobian on absolute differences, as the published "
            "code has it",
            kind="smoothness",
            needs=("displacement",),
            function=f"{SMOOTHNESS}:published_logj_variance_of",
        ),
        Score(
            "inverse_consistency",
            "Inverse consistency error",
            best="min",
            digits=2,
            description="mean distance of points from where they started after the registration "
            "and that of the swapped images",
            kind="consistency",
            needs=("reverse",),
            function="bench.scores.consistency:inverse_consistency",
            unit="mm",
            in_spacing=True,
            has_before=False,
        ),
        Score(
            "similarity",
            "D",
            best="min",
            digits=4,
            description="the metric that was minimized; values of different metrics do not compare",
            kind="similarity",
            needs=("similarity",),
            function="bench.scores.cost:similarity",
            compared=False,
        ),
        Score(
            "seconds",
            "Time per pair",
            best="min",
            digits=3,
            description="time of one registration",
            kind="cost",
            needs=("seconds",),
            function="bench.scores.cost:seconds",
            unit="s",
            compared=False,
            has_before=False,
        ),
        *change_scores(),
    )
}

OF_TASKS = {**PERCEPTION, **SYNTHESIS}  # scores of tasks that register nothing


def score_of(name: str) -> Score:
    """A score by name; one that the registry lacks, as of a user's task, goes by its name."""
    return SCORES.get(name) or OF_TASKS.get(name) or Score(name, name, compared=False)


def names_of(*tables: Any) -> list[str]:
    """Names of the scores of some mappings: the registries' that one has in order, then others.

    Args:
        tables: Mappings by name of a score, among others.
    """
    found = dict.fromkeys(name for table in tables for name in table)
    known = [*SCORES, *OF_TASKS]
    return [n for n in known if n in found] + [n for n in found if n not in known]


def compared_scores(kind: str | None = None) -> list[str]:
    """Names of the scores that methods are compared by.

    Args:
        kind: Only those of a kind.
    """
    return [
        name
        for name, score in SCORES.items()
        if score.compared and (kind is None or score.kind == kind)
    ]


def units(spacing_unit: str) -> dict[str, str]:
    """Units of the scores that are lengths, by name.

    Args:
        spacing_unit: Of the data set: mm, µm, nm or px.
    """
    return {name: spacing_unit for name, score in SCORES.items() if score.in_spacing}
