"""Figures of single pairs, which runs and other commands have drawn, for a report."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.analysis.numbers.findings import Findings, Request
from bench.analysis.plots.drawings import file_name
from bench.analysis.report.page import Picture
from bench.store.layout import FIGURE, PANELS, RUNS

PANEL_CAPTIONS = {  # by the command that draws it
    "panel": "One test pair of {dataset} as each network registers it: the warped image, contours "
    "of its labels (dotted: the fixed image's), the deformation grid, the logarithm of the signed "
    "Jacobian (black where it folds), the difference to the fixed image.",
    "landscape": (
        "Value of each metric, from its minimum to its maximum, while the moving image of a test "
        "pair of {dataset} is shifted along an axis. The pair is not registered, so the minimum "
        "need not be at 0."
    ),
    "features": (
        "Feature maps that the metrics on {dataset} compare: for each level of each extractor "
        "those that vary most over the fixed image of a test pair, shown on the left."
    ),
}


def copy_change_maps(request: Request, found: Findings, folder: Path) -> Iterator[Picture]:
    """The figure of the run whose map has the largest AUC, for each comparison on changes.

    Exported tables have no figures.
    """
    rows = found.changes.rows
    for name, of_one in rows.groupby("comparison", sort=False):
        best = of_one.sort_values("auc", ascending=False, kind="stable").iloc[0]
        drawn = request.results / RUNS / str(best["run"]) / FIGURE
        if drawn.exists():
            kept = f"changes-maps-{file_name(str(name))}"
            shutil.copyfile(drawn, folder / f"{kept}.png")
            is_known = str(name) not in found.changes.unjudged
            pair = "The test pair of median AUC" if is_known else "A test pair"
            truth = "The line is the outline of the change." if is_known else "No change is known."
            said = (
                f"{pair} on {name} by {best['label']}: images, then maps that are large where a "
                "change is suspected; voxels that do not count have the least value of their map. "
                f"{truth}"
            )
            yield Picture(kept, said, said)


def copy_panels(request: Request, found: Findings, folder: Path) -> list[Picture]:
    """The figures that other commands have drawn of the data sets."""
    pictures = []
    for dataset in dict.fromkeys(one.dataset for one in found.comparisons):
        for kind, caption in PANEL_CAPTIONS.items():
            name = f"{kind}-{dataset}"
            drawn = [request.results / PANELS / f"{name}{suffix}" for suffix in (".png", ".pdf")]
            if all(file.exists() for file in drawn):
                for file in drawn:
                    shutil.copyfile(file, folder / file.name)
                said = caption.format(dataset=dataset)
                pictures.append(Picture(name, said, said))
    return pictures
