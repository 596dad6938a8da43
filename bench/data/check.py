"""Checks every file of a data set before a training does."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from bench.data.cache.collector import Collector
from bench.data.cache.prepared import PreparedDataset, check_axes
from bench.data.cache.preparing import check_subjects
from bench.data.check_notes import (
    note_files,
    note_landmarks,
    note_of_channels,
    note_shapes,
    note_window,
)
from bench.data.check_report import CheckReport, LabelReport, MaskReport, SplitReport
from bench.data.files.kinds import NIFTI, kind_in
from bench.data.files.nifti import disagreement
from bench.data.headers import distance_note
from bench.data.landmarks.pairing import describe
from bench.data.landmarks.points import Landmarks
from bench.data.lengths import listed
from bench.data.sources.content import files, where
from bench.data.sources.pairs import evenly_spaced, index_pairs
from bench.data.sources.roles import roles_of
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, SPLITS, Raw, Sample, Subject
from bench.errors import BenchError

T = TypeVar("T")

ORDER = (*SPLITS, ATLAS)
SHOWN = 6  # subjects per split on the contact sheet
SOME = 2000  # pairs of a split whose headers are compared


def check(source: Source, window: int | None = None) -> CheckReport:
    """Opens every file of a data set; reports faults and never raises for them.

    Args:
        source: The data set.
        window: Edge in voxels of the windows that the data should fill, those of `metric=ncc`;
            None for a metric without windows.
    """
    report = CheckReport(source.name)
    try:
        subjects = source.subjects()
    except BenchError as error:
        report.faults.append(str(error))
        return report
    _guard(report, check_subjects, source.name, subjects)
    found: dict[tuple[int, int], LabelReport] = {}
    hashes: dict[bytes, Subject] = {}
    grids: dict[str, np.ndarray] = {}
    landmarks: dict[str, Landmarks | None] = {}
    trained: Counter = Counter()
    shortest: dict[int, str] = {}
    channels: dict[int, list[str]] = {}
    labelled: Counter = Counter()
    sized: Counter = Counter()
    masks = MaskReport()
    collector: Collector | None = None
    refused: list[str] = []
    for subject in _progress(subjects, f"checking {source.name}"):
        split = report.splits.setdefault(subject.split, SplitReport())
        split.subjects += 1
        try:
            raw, sample = _open(source, subject, found)
        except BenchError as error:
            report.faults.append(str(error))
            continue
        _add(split, subject, raw, sample, source)
        masks.add(raw)
        _find_copy(report, hashes, subject, sample)
        landmarks[subject.id] = sample.landmarks
        if raw is not None and raw.affine is not None and raw.lies_in_space:
            grids[subject.id] = raw.affine @ sample.grid
            _note_forms(report, subject)
        trained[sample.image.shape[1:]] += 1
        shortest.setdefault(min(_filled(raw, sample)), where(subject, subject.image))
        channels.setdefault(len(sample.image), []).append(where(subject, subject.image))
        labelled[sample.labels is not None] += 1
        sized[sample.unit] += 1
        collector = collector or Collector(source, sample, None, [list(sample.image.shape[1:])])
        try:
            collector.take(0, subject, sample)
        except BenchError as error:
            refused.append(str(error))
    note_shapes(report, trained)
    note_window(report, shortest, window)
    if len(sized) > 1:
        report.faults.append(
            f"dataset {source.name}: {sized['mm']} files state the size of their voxels, "
            f"{sized['px']} do not. Set dataset.pixel_size, in mm."
        )
    if len(channels) > 1:
        most, *_, least = sorted(channels, key=lambda number: -len(channels[number]))
        report.faults.append(
            f"{channels[least][0]}: has {least} channel(s), but most images have {most}. Give "
            "every image the same channels; dataset.color=grey turns colours into one channel."
        )
    elif channels:
        (number,) = channels
        _guard(report, roles_of, source, number)
        if number != 1:
            report.notes.append(note_of_channels(source, number))
    if len(labelled) > 1:
        report.faults.append(
            f"dataset {source.name}: {labelled[True]} subjects have labels, {labelled[False]} have "
            "none. Give labels to all subjects or to none."
        )
    report.labels = [found[key] for key in sorted(found)]
    report.splits = {name: report.splits[name] for name in sorted(report.splits, key=_place)}
    shape = tuple(np.max([*trained], axis=0).tolist()) if trained else ()
    if shape:
        _guard(report, check_axes, source.name, min(trained, key=min))
    if not report.faults:
        report.faults += refused[:1]  # what a run says of files that are sound by themselves
    _look_at_pairs(report, source, subjects, grids, shape, landmarks)
    note_landmarks(report, landmarks, shape)
    if masks.shares:
        report.notes.append(masks.note(len(subjects)))
    note_files(report, source)
    return report


def _open(
    source: Source, subject: Subject, found: dict[tuple[int, int], LabelReport]
) -> tuple[Raw | None, Sample]:
    raw = source.read(subject)
    if raw is None:
        sample = source.load(subject)
        _count_labels(source, sample.labels, found)
        return None, sample
    _count_labels(source, raw.labels, found)
    return raw, source.preprocess(subject, raw)


def _filled(raw: Raw | None, sample: Sample) -> tuple[int, ...]:
    """How many voxels of a preprocessed image its file fills along each axis, without padding."""
    shape = sample.image.shape[1:]
    if raw is None or sample.grid is None:
        return shape
    from_file = np.linalg.inv(sample.grid)[:-1, :-1]
    sizes = np.rint(np.abs(from_file) @ raw.shape).astype(int)
    return tuple(np.minimum(sizes, shape).tolist())


def _count_labels(
    source: Source, labels: np.ndarray | None, found: dict[tuple[int, int], LabelReport]
) -> None:
    """Adds a label map to the counts, whose keys are (0, class) or (1, undeclared id)."""
    if labels is None:
        return
    seen = set()
    for value, count in zip(*np.unique(labels, return_counts=True), strict=True):
        number = int(value)
        if source.table.unknown([number]):
            key, name = (1, number), "not declared"
        else:
            target = source.table.target.get(number, source.table.rest or 0)
            key, name = (0, target), source.table.names[target]
        label = found.setdefault(key, LabelReport(name))
        label.ids.add(number)
        label.voxels += int(count)
        if key[0] == 0 and number not in source.table.target:
            label.rest[number] += int(count)
        seen.add(key)
    for key in seen:
        found[key].subjects += 1


def _add(
    split: SplitReport, subject: Subject, raw: Raw | None, sample: Sample, source: Source
) -> None:
    image = raw.image if raw is not None else sample.image
    split.shapes[image.shape[1:]] += 1
    stated = raw if raw is not None and source.pixel_size is None else sample
    split.spacings[listed(stated.spacing, stated.unit)] += 1
    if raw is not None and raw.orientation:
        split.orientations[raw.orientation] += 1
    split.stored = _wider(split.stored, image)
    split.normalized = _wider(split.normalized, sample.image)
    if len(split.shown) < SHOWN:
        split.shown.append((subject.id, sample.image, sample.labels))


def _find_copy(
    report: CheckReport, hashes: dict[bytes, Subject], subject: Subject, sample: Sample
) -> None:
    key = hashlib.sha256(sample.image.tobytes()).digest()
    other = hashes.setdefault(key, subject)
    if other is subject:
        return
    line = (
        f"dataset {report.name}: {other.id} ({other.split}) and {subject.id} ({subject.split}) "
        "hold the same image. List it once, in one split."
    )
    (report.notes if other.split == subject.split else report.faults).append(line)


def _note_forms(report: CheckReport, subject: Subject) -> None:
    for path in files(subject):
        found = disagreement(path) if kind_in(path) == NIFTI else None
        if found:
            report.notes.append(f"{path}: {found}")


def _look_at_pairs(
    report: CheckReport,
    source: Source,
    subjects: list[Subject],
    grids: dict[str, np.ndarray],
    shape: tuple[int, ...],
    landmarks: dict[str, Landmarks | None],
) -> None:
    index = {
        "name": source.name,
        "ids": [subject.id for subject in subjects],
        "landmarks": describe([landmarks.get(subject.id) for subject in subjects]),
        "splits": [subject.split for subject in subjects],
        "places": [[subject.series, subject.place] for subject in subjects],
        "given": index_pairs(source.given_pairs(), subjects),
    }
    dataset = PreparedDataset(None, index, dict(source.pairs))
    for split in SPLITS:
        if split in report.splits:
            pairs = _guard(report, dataset.pairs, split)
            report.splits[split].pairs = None if pairs is None else len(pairs)
            ids = [(subjects[m].id, subjects[f].id) for m, f in evenly_spaced(pairs or [], SOME)]
            known = [(grids[m], grids[f]) for m, f in ids if m in grids and f in grids]
            apart = distance_note(known, shape)
            if apart:
                report.notes.append(f"{split}: {apart}")
        elif split != "train":
            report.notes.append(
                f"split {split!r} is empty: "
                + ("nothing can be tested" if split == "test" else "λ cannot be chosen")
            )


def _guard(report: CheckReport, function: Callable[..., T], *args: Any) -> T | None:
    try:
        return function(*args)
    except BenchError as error:
        report.faults.append(str(error))
        return None


def _wider(known: tuple[float, float] | None, image: np.ndarray) -> tuple[float, float]:
    low, high = float(image.min()), float(image.max())
    return (low, high) if known is None else (min(known[0], low), max(known[1], high))


def _progress(items: list[Subject], description: str) -> Iterable[Subject]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        items,
        description=description,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _place(split: str) -> int:
    """Where reports have a split: one that must not be is the last."""
    return ORDER.index(split) if split in ORDER else len(ORDER)
