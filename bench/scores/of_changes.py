"""The scores of the task changes."""

from collections.abc import Iterator

from bench.scores.score import Score

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


def change_scores() -> Iterator[Score]:
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
