"""The scores of the task changes."""

from collections.abc import Iterator
from functools import partial

from bench.scores.score import Score

FALSE_POSITIVES = (1, 4)  # of an image, at which components of a change are found
MAIN = "main"  # the map that a method itself gives; see `bench.tasks.changes.maps`
MAPS = {
    MAIN: "",
    "one_direction": "one direction",
    "relative": "relative to controls",
    "intensity": "intensity difference",
    "li_wyatt": "Li and Wyatt",
    "jacobian": "Jacobian",
}
PRINTED = {"auc": set(MAPS) - {"one_direction"}, "ap": {MAIN}}  # by the table of a run
POOLED = {  # names of the scores of each map over voxels of all test pairs together
    name: tuple(f"{score}_pooled" + f"_{name}" * (name != MAIN) for score in ("auc", "ap"))
    for name in MAPS
}

_score = partial(Score, best="max", digits=3, has_interval=True, compared=False)


def change_scores() -> Iterator[Score]:
    """AUC and average precision of each map of changes; what peaks of that of the method find."""
    for name, words in MAPS.items():
        for score, title, definition in (
            ("auc", "AUC", "area under the ROC curve, voxel by voxel, against the mask of change"),
            ("ap", "AP", "average precision, voxel by voxel, against the mask of change"),
        ):
            yield _score(
                score if name == MAIN else f"{score}_{name}",
                f"{title} ({words})" if words else title,
                description=f"{definition}: of {words or 'the map of the method'}",
                kind="changes",
                needs=("change",),
                function=f"bench.scores.detection:{score}",
                of_map=name,
                in_short=name == MAIN,
                is_printed=name in PRINTED[score],
            )
    for count in FALSE_POSITIVES:
        false = "one false peak" if count == 1 else f"{count} false peaks"
        yield _score(
            f"found_{count}",
            f"Found at {count} false",
            description="share of the changed components that peaks of the method's map find with "
            f"at most {false} in an image",
            kind="changes",
            needs=("change",),
            function=f"bench.scores.peaks:found_at_{count}",
            of_map=MAIN,
            is_printed=count == FALSE_POSITIVES[0],
        )
    for name, words in MAPS.items():
        for score, title in zip(POOLED[name], ("AUC", "AP"), strict=True):
            yield _score(
                score,
                f"{title} (pooled, {words})" if words else f"{title} (pooled)",
                description=f"the {title} over voxels of all test pairs together, at most 1000 of "
                f"each, drawn by the seed: of {words or 'the map of the method'}",
                kind="pooled",
                has_before=False,
                is_printed=name == MAIN,
            )
