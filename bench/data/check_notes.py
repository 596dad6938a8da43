"""What is worth knowing of a data set without a fault."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from bench.data.check_report import CheckReport, LabelReport
from bench.data.landmarks.points import Landmarks
from bench.data.preprocessing.label_table import few
from bench.data.sources.source import Source

DARK = 0.1  # normalized intensity that some voxel should reach


def note_shapes(report: CheckReport, shapes: Counter) -> None:
    """Notes that preprocessed images differ in shape.

    Args:
        report: Of the data set; the note is added to it.
        shapes: How many images have which shape.
    """
    if len({len(shape) for shape in shapes}) == 1 and len(shapes) > 1:
        report.notes.append(
            f"shapes differ: {_listed(shapes)}; each pair is padded to its larger image and "
            "batches hold one pair. Set dataset.shape to crop or pad all images to one shape."
        )


def note_window(report: CheckReport, shortest: Mapping[int, str], window: int | None) -> None:
    """Notes that some image's data are narrower than a window of the metric.

    Args:
        report: Of the data set; the note is added to it.
        shortest: By the voxels of the shortest axis that data fill, an image of that.
        window: Edge of a window in voxels; None for a metric without windows.
    """
    if window is not None and shortest and min(shortest) < window:
        report.notes.append(_narrow(shortest[min(shortest)], min(shortest), window))


def note_landmarks(
    report: CheckReport, landmarks: dict[str, Landmarks | None], shape: tuple[int, ...]
) -> None:
    """Notes how many landmarks there are, are missing and lie outside.

    Args:
        report: Of the data set; the note is added to it.
        landmarks: By subject; None for those without.
        shape: Of the largest image along each axis, in voxels; empty if no image can be read.
    """
    given = [one.points for one in landmarks.values() if one is not None]
    if not given or not shape:
        return
    points = np.concatenate(given)
    missing = int(np.isnan(points).any(axis=1).sum())
    inside = int(Landmarks(points).inside(shape).sum())
    line = f"{len(given)} of {len(landmarks)} subjects have landmarks, {len(points)} in all"
    if missing:
        line += f"; {missing} are missing"
    if inside < len(points) - missing:
        line += f"; {len(points) - missing - inside} lie outside the images and are not counted"
    report.notes.append(line)


def note_files(report: CheckReport, source: Source) -> None:
    """Notes how files differ in spacing and orientation, intensities that stay dark, and labels.

    Args:
        report: Of the data set, with its splits and labels; notes are added to it.
        source: The data set.
    """
    total: dict[str, Counter] = {name: Counter() for name in ("spacings", "orientations")}
    for split in report.splits.values():
        for name, counter in total.items():
            counter.update(getattr(split, name))
    if len(total["spacings"]) > 1 and source.spacing is None:
        report.notes.append(
            f"spacings differ: {_listed(total['spacings'])}. Set dataset.spacing to resample all "
            "subjects to one spacing."
        )
    if len(total["orientations"]) > 1:
        report.notes.append(
            f"files are stored as {_listed(total['orientations'])}; the suite turns all to RAS."
        )
    for name, split in report.splits.items():
        if split.normalized and split.normalized[1] < DARK:
            report.notes.append(
                f"{name}: normalized intensities only reach {split.normalized[1]:.3g}, as 12 bits "
                "stored in 16 would. See dataset.intensity."
            )
    for label in report.labels:
        if label.rest:
            report.notes.append(_rest(label, sum(one.voxels for one in report.labels)))
    count = sum(split.subjects for split in report.splits.values())
    background = source.table.names[0]
    for label in report.labels:
        if label.subjects < count and label.name not in ("not declared", background):
            report.notes.append(f"{label.name} occurs in {label.subjects} of {count} subjects")


def note_of_channels(source: Source, count: int) -> str:
    """How many channels all images have, and what they are called where the data set says that."""
    names = source.channel_names() or []
    called = f": {', '.join(names)}" if len(names) == count else ""
    return f"images have {count} channels{called}"


def _narrow(image: str, size: int, window: int) -> str:
    """The shortest axis of the data in voxels, where that is less than the edge of a window."""
    smaller = size if size % 2 else size - 1
    return (
        f"{image}: the shortest axis has {size} voxels of data, fewer than the {window} of a "
        "window of metric=ncc. Every window reaches beyond the data, and a run refuses images "
        f"that are not padded to {window}. Set metric.window={smaller} or less with metric=ncc."
    )


def _rest(label: LabelReport, total: int) -> str:
    """Which ids that the label table does not name a class took in, with their shares of voxels."""
    shares = [f"{number} ({n / total:.2%})" for number, n in sorted(label.rest.items())]
    return (
        f"{sum(label.rest.values()) / total:.2%} of all voxels have ids that dataset.labels does "
        f"not name; they count as {label.name}: {few(shares)}"
    )


def _listed(counter: Counter) -> str:
    return ", ".join(f"{value} ({count})" for value, count in counter.most_common(4))
