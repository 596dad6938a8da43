"""Figures of perception: one run, and metrics by distortions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.agreement import GEOMETRY, Agreement, agreement_sentences
from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.perception import CHANCE
from bench.analysis.plots.descriptions import listed
from bench.analysis.plots.drawings import Drawing, file_name
from bench.analysis.plots.registered import draw_image
from bench.analysis.plots.smoothness import draw_smoothness
from bench.analysis.plots.style import is_dark, looks, new_figure
from bench.scores.of_images import APPEARANCES, DISTORTIONS
from bench.scores.registry import SCORES

SECTION = "Perception"
ADJACENT = "2afc_adjacent_"  # of the same score for adjacent levels
TITLE = 9  # points, with which the longest name fits above its panel
NONE = pd.Series(dtype=float)
COLUMNS = {  # of images.csv and of the heat map, by what they are called
    **{f"2afc_{name}": name for name in DISTORTIONS},
    **{f"geometry_{name}": f"geometry under {name}" for name in APPEARANCES},
}


def draw_perceived(
    path: Path,
    shown: Mapping[str, np.ndarray],
    images: pd.DataFrame,
    on_path: pd.DataFrame,
    title: str,
) -> None:
    """Draws one run: distorted images, 2AFC with intervals, and D along the true path.

    Args:
        path: PNG file to write.
        shown: Planes (C, H, W) from 0 to 1, by what they are called.
        images: Rows of images.csv.
        on_path: Rows of distances.csv on the true path; may be empty.
        title: Written above.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.3 * max(len(shown), 8), 6), layout="constrained")
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1, 2]))
    panels = above.subplots(1, len(shown), squeeze=False)[0]
    for panel, (name, plane) in zip(panels, shown.items(), strict=True):
        draw_image(panel, plane, 0, 1)
        panel.set_title(name, fontsize=TITLE)
        panel.set_axis_off()
        panel.set_aspect("equal")
    scores, course = below.subplots(1, 2)
    _draw_scores(scores, images)
    _draw_course(course, on_path)
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def _draw_scores(panel: Any, images: pd.DataFrame) -> None:
    """Mean 2AFC of each distortion, all pairs of levels and adjacent ones, with intervals."""
    bootstrap = Bootstrap(np.arange(len(images)))
    known = [name for name in COLUMNS if name in images and images[name].notna().any()]
    for place, name in enumerate(known):
        low, high = bootstrap.interval(images[name].to_numpy(float))
        panel.plot([low, high], [place, place], color="#6baed6", linewidth=3)
    means = images.mean(numeric_only=True)
    panel.plot(means[known], range(len(known)), "o", color="#17559f", label="all pairs")
    adjacent = [ADJACENT + name.removeprefix("2afc_") for name in known]
    places = [place for place, name in enumerate(adjacent) if name in means]
    values = means[[adjacent[place] for place in places]]
    hollow = {"markerfacecolor": "none", "markersize": 9, "markeredgewidth": 1.5}
    panel.plot(values, places, "d", color="#f88d3c", label="adjacent levels", **hollow)
    panel.axvline(CHANCE, color="0.7", linewidth=0.8)
    panel.set_yticks(range(len(known)), [COLUMNS[name] for name in known])
    panel.invert_yaxis()
    panel.set_xlim(-0.02, 1.02)
    panel.set_xlabel("2AFC")
    panel.legend(frameon=False)


def _draw_course(panel: Any, rows: pd.DataFrame) -> None:
    """D along the path, from the least to the largest value of each image."""
    panel.set_xlabel("t, share of the true path")
    panel.set_ylabel("D, from least to largest")
    if rows.empty:
        return
    courses = rows.pivot_table(index="subject", columns="order", values="distance")
    least = courses.min(axis=1)
    scaled = courses.sub(least, axis=0).div((courses.max(axis=1) - least).clip(lower=1e-12), axis=0)
    for _, course in scaled.iterrows():
        panel.plot(course.index, course, color="0.8", linewidth=0.8)
    panel.plot(scaled.columns, scaled.mean(), color="#17559f")


def draw_perception(rows: pd.DataFrame) -> Iterator[Drawing]:
    """A heat map of metrics by distortions for each comparison.

    Args:
        rows: Of `bench.analysis.numbers.perception.perception_rows`.
    """
    for name, of_one in rows.groupby("comparison", sort=False):
        known = [column for column in COLUMNS if of_one.get(column, NONE).notna().any()]
        values = of_one.set_index("label")[known]
        caption = (
            f"2AFC on {name}, mean over images. 2AFC is how often a metric's D is smaller for "
            "the less distorted of two images. In the columns of geometry, that is the less "
            "deformed one, and changes of appearance give both images the same MSE. 1: always; "
            "0.5: chance; 0: never."
        )
        yield Drawing(
            f"perception-{file_name(str(name))}",
            caption,
            _heat_map(values.rename(columns=COLUMNS)),
            SECTION,
            f"{caption} Geometry: {listed(of_one.set_index('label')['geometry'])}.",
        )


def draw_agreement(found: Sequence[Agreement]) -> Iterator[Drawing]:
    """Registration against the geometry score, a panel for each data set.

    Args:
        found: Of `bench.analysis.numbers.agreement.agreements`.
    """
    for score in dict.fromkeys(one.score for one in found):
        alike = [one for one in found if one.score == score]
        rows = pd.concat([one.rows for one in alike], ignore_index=True)
        styles = looks(zip(rows["label"], rows["metric"], strict=True))
        caption = (
            f"{SCORES[score].title} of registrations at equal smoothness against the geometry "
            "score of the same metrics, with 95 % intervals. If points rise from left to right, "
            "metrics that recognize deformations under changed appearance register better."
        )
        yield Drawing(
            f"agreement-{score}",
            caption,
            draw_smoothness(rows, score, [GEOMETRY], styles),
            SECTION,
            " ".join(agreement_sentences(alike)),
        )


def _heat_map(values: pd.DataFrame) -> Any:
    """Labels by columns, from 0 over chance to 1, each cell with its number."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    figure = new_figure(1.8 + 0.55 * values.shape[1], 1.8 + 0.28 * len(values))
    panel = figure.subplots()
    colors = colormaps["RdBu"]
    drawn = panel.imshow(values.to_numpy(float), cmap=colors, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        if np.isfinite(value):
            ink = "white" if is_dark(to_hex(colors(value))) else "black"
            text = f"{value:.2f}"
            panel.text(column, row, text, ha="center", va="center", color=ink, fontsize=7)
    panel.set_yticks(range(len(values)), list(values.index))
    panel.set_xticks(range(values.shape[1]), list(values), rotation=40, ha="right")
    panel.grid(False)
    figure.colorbar(drawn, ax=panel, shrink=0.8, label="2AFC")
    return figure
