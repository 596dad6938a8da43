"""The registry of scores. A new score is an entry here, and its function."""

from collections.abc import Iterator
from typing import Any

from bench.scores.score import Score, resolve


def make_ready() -> None:
    """Imports what the scores are computed by, which fails before a training, if it does."""
    for score in SCORES.values():
        for reference in filter(None, (score.function, score.per_class)):
            resolve(reference)


OVERLAP, SMOOTHNESS = "bench.scores.overlap", "bench.scores.smoothness"
LANDMARKS = "bench.scores.landmarks"
FALSE_POSITIVES = (1, 4)  # of an image, at which components of a change are found
MAIN = "main"  # the map that a method itself gives; see `bench.tasks.changes.maps`
MAPS = {
    MAIN: "",
    "one_direction": "one direction",
    "relative": "relative to the usual",
    "intensity": "intensity difference",
    "li_wyatt": "Li and Wyatt",
    "jacobian": "Jacobian",
}
POOLED = {  # names of the scores of each map over voxels of all test pairs together
    name: tuple(f"{score}_pooled" + f"_{name}" * (name != MAIN) for score in ("auc", "ap"))
    for name in MAPS
}


def _detection_scores() -> Iterator[Score]:
    """AUC and average precision of each map of changes; what peaks of that of the method find."""
    for name, words in MAPS.items():
        for score, title, definition in (
            ("auc", "AUC", "area under the ROC curve, voxel by voxel, against the mask of change"),
            ("ap", "AP", "average precision, voxel by voxel, against the mask of change"),
        ):
            yield Score(
                score if name == MAIN else f"{score}_{name}",
                f"{title} ({words})" if words else title,
                best="max",
                digits=3,
                description=f"{definition}: of {words or 'the map of the method'}",
                kind="changes",
                needs=("change",),
                function=f"bench.scores.detection:{score}",
                of_map=name,
                has_interval=True,
                compared=False,
                in_short=name == MAIN,
            )
    for count in FALSE_POSITIVES:
        false = "one false peak" if count == 1 else f"{count} false peaks"
        yield Score(
            f"found_{count}",
            f"Found at {count} false",
            best="max",
            digits=3,
            description="share of the changed components that peaks of the method's map find with "
            f"at most {false} in an image",
            kind="changes",
            needs=("change",),
            function=f"bench.scores.peaks:found_at_{count}",
            of_map=MAIN,
            has_interval=True,
            compared=False,
        )
    for name, words in MAPS.items():
        for score, title in zip(POOLED[name], ("AUC", "AP"), strict=True):
            yield Score(
                score,
                f"{title} (pooled, {words})" if words else f"{title} (pooled)",
                best="max",
                digits=3,
                description=f"the {title} over voxels of all test pairs together, at most 1000 of "
                f"each, drawn by the seed: of {words or 'the map of the method'}",
                kind="pooled",
                has_interval=True,
                compared=False,
                has_before=False,
            )


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
        *_detection_scores(),
    )
}

DISTORTIONS = (
    *("noise", "rician", "blur", "bias", "gamma", "motion", "ghosting", "spikes"),
    *("undersampling", "downsampling", "deformation", "lesions"),
)
APPEARANCES = ("noise", "bias", "gamma")  # of these, what a deformation is hidden under

PERCEPTION: dict[str, Score] = {  # of the task perception, means over images
    score.name: score
    for score in (
        Score(
            "2afc",
            "2AFC",
            best="max",
            digits=3,
            description="share of pairs of levels of a distortion in order, ties a half",
            in_short=True,
        ),
        Score(
            "2afc_adjacent",
            "2AFC (adjacent)",
            best="max",
            digits=3,
            description="the same of adjacent levels",
            in_short=True,
        ),
        Score(
            "rank",
            "Rank correlation",
            best="max",
            digits=3,
            description="Spearman's correlation of D with the strength of a distortion",
        ),
        Score(
            "geometry",
            "Geometry",
            best="max",
            digits=3,
            description="2AFC of deformations under changes of appearance, all with the same MSE",
            in_short=True,
        ),
        Score(
            "appearance",
            "Appearance",
            digits=3,
            description="the same where the order is to follow the change of appearance",
        ),
        Score(
            "jnd",
            "JND",
            best="max",
            digits=3,
            description="average precision: the same anatomy is nearer than another",
            in_short=True,
        ),
        Score(
            "falling",
            "Falling steps",
            best="max",
            digits=3,
            description="share of the steps along the true path in which D falls",
            in_short=True,
        ),
        Score(
            "minimum",
            "Minimum at t",
            best="max",
            digits=3,
            description="where on the true path, from 0 to 1, D is least",
        ),
        Score(
            "basin",
            "Basin",
            best="max",
            digits=3,
            description="share of the true path on which D is below half its way down",
            in_short=True,
        ),
        Score(
            "sections",
            "Sections",
            best="max",
            digits=3,
            description="2AFC: a nearer section of a stack, or frame, is nearer than a farther one",
            in_short=True,
        ),
        Score(
            "persons",
            "Persons",
            best="max",
            digits=3,
            description="2AFC: another visit of the person is nearer than another person",
            in_short=True,
        ),
        Score(
            "contrasts",
            "Contrasts",
            best="max",
            digits=3,
            description="2AFC: the same anatomy in another contrast is nearer than another anatomy "
            "in the same one",
            in_short=True,
        ),
        Score(
            "judged",
            "Judged",
            best="max",
            digits=3,
            description="agreement with people who chose the nearer of two images: 2AFC of LPIPS",
            in_short=True,
        ),
        *(Score(f"2afc_{name}", f"2AFC {name}", best="max", digits=3) for name in DISTORTIONS),
        *(
            Score(f"geometry_{name}", f"Geometry under {name}", best="max", digits=3)
            for name in APPEARANCES
        ),
    )
}

SYNTHESIS: dict[str, Score] = {  # of the task synthesis, besides Dice
    score.name: score
    for score in (
        Score(
            "psnr",
            "PSNR",
            best="max",
            digits=2,
            description="10 log10(r² / MSE), r the range of the true image",
            unit="dB",
            in_short=True,
        ),
        Score(
            "ssim",
            "SSIM",
            best="max",
            digits=3,
            description="mean structural similarity to the true image",
            in_short=True,
        ),
        Score(
            "distance",
            "Distance",
            best="min",
            digits=4,
            description="by a metric that is not the loss, from the true image",
            in_short=True,
        ),
        Score(
            "dice_truth",
            "Dice on the truth",
            digits=3,
            description="Dice of the segmenter's labels of the true image: what there is to lose",
            has_before=False,
        ),
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
