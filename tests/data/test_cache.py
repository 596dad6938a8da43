"""The cache: built once, rebuilt when something changed, complete or absent."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import write_nifti

from bench.data import NiftiTable, prepare
from bench.data.batches.loading import read_images, read_segmentations
from bench.data.cache import collecting
from bench.data.files.volumes import read_volume
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, SPLITS, Sample, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Numbers(Source):
    """Text files that hold one number: an image of that value with its labels around it."""

    HARMLESS = Source.HARMLESS | {"loaded"}

    labelled: bool = True
    splits: dict = field(default_factory=lambda: {"a": "train", "b": "val", "c": "test"})
    loaded: list = field(default_factory=list)

    def subjects(self):
        return [Subject(i, split, Path(self.root) / f"{i}.txt") for i, split in self.splits.items()]

    def load(self, subject):
        self.loaded.append(subject.id)
        value = int(subject.image.read_text())
        if value < 0:
            raise DataError(f"{subject.image}: is negative")
        labels = np.zeros(self.shape, np.int32)
        labels[1:, 0] = 10 * value
        image = np.full((1, *self.shape), value / 7, np.float32)
        return Sample(image, labels if self.labelled else None, (1.0, 2.5))


@pytest.fixture
def source(tmp_path):
    def make(**settings):
        defaults = {"shape": (3, 4), "classes": 200, "root": tmp_path}
        pairs = dict.fromkeys(SPLITS, "cross")
        return Numbers(name="numbers", ndim=2, pairs=pairs, **{**defaults, **settings})

    for i, name in enumerate("abc"):
        (tmp_path / f"{name}.txt").write_text(str(i + 1))
    return make


def test_arrays_are_memory_mapped_float16_and_uint8(source, tmp_path):
    dataset = prepare(source(), tmp_path / "cache")
    assert isinstance(dataset.images, np.memmap)
    assert dataset.images.dtype == np.float16
    assert dataset.images.shape == (3, 1, 3, 4)
    assert isinstance(dataset.labels, np.memmap)
    assert dataset.labels.dtype == np.uint8
    assert dataset.labels.shape == (3, 1, 3, 4)
    np.testing.assert_allclose(dataset.images[:, 0, 0, 0], [1 / 7, 2 / 7, 3 / 7], rtol=1e-3)
    assert (dataset.ndim, dataset.channels, dataset.spacing) == (2, 1, (1.0, 2.5))
    assert dataset.ids == ["a", "b", "c"]
    assert [dataset.members(split) for split in SPLITS] == [[0], [1], [2]]


def test_labels_become_positions_among_the_ids_that_occur(source, tmp_path):
    classes = {0: "nothing", 10: "ten", 15: "unseen", 20: "twenty", 30: "thirty"}
    dataset = prepare(source(classes=classes), tmp_path / "cache")
    assert dataset.class_names == ["nothing", "ten", "twenty", "thirty"]
    assert dataset.labels[:, 0, 1, 0].tolist() == [1, 2, 3]
    assert not dataset.labels[:, 0, 0].any()
    assert sorted(p.name for p in dataset.folder.iterdir()) == [
        "images.npy",
        "index.json",
        "labels.npy",
    ]


def test_second_time_reads_no_subject(source, tmp_path):
    first, second = source(), source()
    folder = prepare(first, tmp_path / "cache").folder
    assert first.loaded == ["a", "b", "c"]
    assert prepare(second, tmp_path / "cache").folder == folder
    assert second.loaded == []


@pytest.mark.parametrize("change", ["size", "time", "setting", "split"])
def test_a_change_builds_anew(source, tmp_path, change):
    before = prepare(source(), tmp_path / "cache")
    settings = {}
    if change == "size":
        (tmp_path / "b.txt").write_text("11")
    elif change == "time":
        os.utime(tmp_path / "b.txt", ns=(10**18, 10**18))
    elif change == "setting":
        settings = {"classes": 201}
    else:
        settings = {"splits": {"a": "val", "b": "train", "c": "test"}}
    again = source(**settings)
    after = prepare(again, tmp_path / "cache")
    assert again.loaded == ["a", "b", "c"]
    assert after.folder != before.folder


def test_pairing_and_root_do_not_build_anew(source, tmp_path):
    before = prepare(source(), tmp_path / "cache")
    again = source()
    again.pairs = dict.fromkeys(SPLITS, "mirrored")
    assert prepare(again, tmp_path / "cache").folder == before.folder
    assert again.loaded == []


def test_fingerprint_is_that_of_the_content(source, tmp_path):
    first = prepare(source(), tmp_path / "cache").fingerprint
    os.utime(tmp_path / "b.txt", ns=(10**18, 10**18))
    assert prepare(source(), tmp_path / "cache").fingerprint == first
    (tmp_path / "b.txt").write_text("9")
    assert prepare(source(), tmp_path / "cache").fingerprint != first


def test_failed_build_leaves_nothing_behind_and_can_be_mended(source, tmp_path):
    (tmp_path / "c.txt").write_text("-1")
    with pytest.raises(DataError, match="is negative"):
        prepare(source(), tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"] == []
    (tmp_path / "c.txt").write_text("3")
    assert prepare(source(), tmp_path / "cache").images.shape == (3, 1, 3, 4)


def test_rest_of_a_killed_build_is_replaced(source, tmp_path):
    folder = prepare(source(), tmp_path / "cache").folder
    partial = folder.with_name(folder.name + ".partial")
    folder.rename(partial)
    (partial / "images.npy").write_bytes(b"half")
    (partial / "index.json").unlink()
    again = prepare(source(), tmp_path / "cache")
    assert again.images.shape == (3, 1, 3, 4)
    assert not partial.exists()


def test_data_set_without_labels(source, tmp_path):
    dataset = prepare(source(labelled=False), tmp_path / "cache")
    assert not dataset.has_labels
    assert dataset.class_names == []
    assert dataset.labels is None


def test_missing_file_is_named(source, tmp_path):
    (tmp_path / "b.txt").unlink()
    words = r"dataset numbers: .*b.txt of subject b is missing. Copy it there, or remove"
    with pytest.raises(DataError, match=words):
        prepare(source(), tmp_path / "cache")


class Stretched(Numbers):
    """The last subject has other voxels."""

    def load(self, subject):
        sample = super().load(subject)
        spacing = (1.0, 2.0) if subject.id == "c" else sample.spacing
        return Sample(sample.image, sample.labels, spacing)


class PartlyLabelled(Numbers):
    """The last subject has no labels."""

    def load(self, subject):
        sample = super().load(subject)
        return sample if subject.id != "c" else Sample(sample.image, None, sample.spacing)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Stretched, r"subject c have edges of 1 x 2 mm, those of the first subject 1 x 2.5 mm"),
        (PartlyLabelled, r"subject c has no labels, unlike the first subject. Give labels to all"),
    ],
)
def test_uneven_subjects_are_refused(source, tmp_path, kind, words):
    uneven = source()
    uneven.__class__ = kind
    with pytest.raises(DataError, match=words):
        prepare(uneven, tmp_path / "cache")


def test_undeclared_label_of_a_source_of_ones_own_is_named(source, tmp_path):
    with pytest.raises(DataError, match=r"numbers.*label.* 30 .*dataset\.classes"):
        prepare(source(classes=30), tmp_path / "cache")


def test_more_classes_than_a_byte_holds_take_two(source, tmp_path):
    many = source(shape=(300, 300), classes=1000)
    load = many.load

    def labels_of_all_kinds(subject):
        sample = load(subject)
        return Sample(sample.image, np.indices((300, 300))[0], sample.spacing)

    many.load = labels_of_all_kinds
    dataset = prepare(many, tmp_path / "cache")
    assert len(dataset.class_names) == 300
    assert dataset.labels.dtype == np.uint16
    assert np.array_equal(dataset.labels[0, 0], np.indices((300, 300))[0])
    assert read_segmentations(dataset, [0], torch.device("cpu")).max() == 299


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (
            {"a": "train", "b": "val", "c": "tset"},
            "subject c has split 'tset'; known splits: train",
        ),
        ({"a": "atlas", "b": "atlas", "c": "atlas"}, "has no subjects. Add subjects."),
    ],
)
def test_unusable_splits_are_refused(source, tmp_path, splits, words):
    with pytest.raises(DataError, match=words):
        prepare(source(splits=splits), tmp_path / "cache")


def test_repeated_subjects_are_refused(source, tmp_path):
    twice = source()
    subjects = twice.subjects()
    twice.subjects = lambda: [*subjects, subjects[1]]
    with pytest.raises(DataError, match="dataset numbers: subject b is listed more than once"):
        prepare(twice, tmp_path / "cache")


def test_split_too_small_for_its_pairing_is_refused(source, tmp_path):
    dataset = prepare(source(), tmp_path / "cache")
    words = r"split 'val' has 1 subject; pairing 'cross' needs at least 2. Add subjects"
    with pytest.raises(DataError, match=words):
        dataset.pairs("val")


def test_atlas_is_found_by_its_split(source, tmp_path):
    (tmp_path / "atlas.txt").write_text("5")
    splits = {"a": "train", "b": "val", "atlas": ATLAS, "c": "test"}
    with_atlas = source(splits=splits)
    with_atlas.pairs = dict.fromkeys(SPLITS, "atlas")
    dataset = prepare(with_atlas, tmp_path / "cache")
    assert [dataset.pairs(split) for split in SPLITS] == [[(0, 2)], [(1, 2)], [(3, 2)]]


def test_index_is_readable(source, tmp_path):
    dataset = prepare(source(), tmp_path / "cache")
    index = json.loads((dataset.folder / "index.json").read_text())
    assert index["name"] == "numbers"
    assert index["splits"] == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ndim": 4}, r"dataset.ndim=4: must be 2 or 3\."),
        ({"shape": (3, 4, 5)}, r"must have 2 whole numbers of at least 3, one per axis"),
        ({"shape": (3.5, 4)}, r"\[3.5,4\]: must have 2 whole numbers of at least 3"),
    ],
)
def test_source_refuses_impossible_axes(settings, words):
    settings = {"name": "x", "ndim": 2, "classes": 2, "pairs": {}, **settings}
    with pytest.raises(ConfigError, match=words):
        Numbers(**settings)


SHAPE = (6, 7, 8)


@pytest.fixture
def volumes(tmp_path):
    """Eight volumes of bytes with labels, two for validation and two for test."""

    def make(kinds="b" * 8, **settings):
        random = np.random.default_rng(0)
        rows = ["image,labels,split"]
        for i, kind in enumerate(kinds):
            image = random.permutation(np.arange(np.prod(SHAPE)) % 256).reshape(SHAPE)
            image = image.astype(np.uint8) if kind == "b" else (image + 0.5).astype(np.float32)
            write_nifti(tmp_path / "own" / f"{i}.nii", image)
            write_nifti(
                tmp_path / "own" / f"{i}_labels.nii", random.integers(0, 9, SHAPE, np.uint8)
            )
            split = ["train", "train", "train", "train", "val", "val", "test", "test"][i]
            rows.append(f"{i}.nii,{i}_labels.nii,{split}")
        (tmp_path / "own" / "subjects.csv").write_text("\n".join(rows))
        defaults = {"labels": {"a": [2, 3], "b": 5, "background": "rest"}}
        defaults["intensity"] = {"policy": "divide", "by": 128}
        pairs = dict.fromkeys(SPLITS, "cross")
        root = tmp_path / "own"
        return NiftiTable(name="own", ndim=3, pairs=pairs, root=root, **{**defaults, **settings})

    return make


@pytest.mark.parametrize(
    ("intensity", "divisor"),
    [
        ({"policy": "keep"}, 1),
        ({"policy": "divide", "by": 128}, 128),
        ({"policy": "divide", "by": 255}, 255),
        ({"policy": "divide", "by": 100}, 100),
        ({"policy": "bits"}, 256),
    ],
)
def test_bytes_are_kept_as_bytes_without_loss(volumes, tmp_path, intensity, divisor):
    own = volumes(intensity=intensity)
    dataset = prepare(own, tmp_path / "cache")
    assert dataset.images.dtype == np.uint8
    found = read_images(dataset, range(8), torch.device("cpu"))
    assert found.dtype == torch.float32
    for image, subject in zip(found.numpy(), own.subjects(), strict=True):
        (values,), _ = read_volume(subject.image)
        assert np.unique(values).size == 256
        expected = values.astype(np.float32) / np.float32(divisor)
        np.testing.assert_allclose(image[0], expected, rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("kinds", ["bbbbbbbf", "bfbbbbbb", "fbbbbbbb", "ffffffff"])
def test_bytes_mixed_with_other_types_are_kept_in_half_precision(volumes, tmp_path, kinds):
    own = volumes(kinds)
    dataset = prepare(own, tmp_path / "cache")
    assert dataset.step is None
    assert dataset.images.dtype == np.float16
    found = read_images(dataset, range(8), torch.device("cpu"))
    for image, subject in zip(found.numpy(), own.subjects(), strict=True):
        expected = read_volume(subject.image)[0][0] / np.float32(128)
        np.testing.assert_allclose(image[0], expected, rtol=5e-4)
    assert dataset.class_names == ["background", "a", "b"]


@pytest.mark.parametrize(
    "settings",
    [
        {"border": 1},
        {"shape": [5, 5, 5]},
        {"spacing": [2, 2, 2]},
        {"intensity": {"policy": "divide", "by": 127}},
        {"labels": {"a": [2, 3], "b": 5, "c": "rest"}},
        {"labels": {"a": [2, 3], "renamed": 5, "background": "rest"}},
        {"ignore_affine": True},
    ],
    ids=str,
)
def test_every_setting_of_preprocessing_builds_anew(volumes, tmp_path, settings):
    before = prepare(volumes(), tmp_path / "cache")
    assert prepare(volumes(**settings), tmp_path / "cache").folder != before.folder


def test_changed_labels_build_anew(volumes, tmp_path):
    own = volumes()
    before = prepare(own, tmp_path / "cache")
    write_nifti(own.root / "3_labels.nii", np.full(SHAPE, 5, np.uint8))
    after = prepare(own, tmp_path / "cache")
    assert after.folder != before.folder
    assert (after.labels[3] == 2).all()


def test_processes_that_start_at_once_build_once(tmp_path):
    """As with several GPUs, or the runs of a sweep."""
    script = Path(__file__).with_name("counted_source.py")
    repository = Path(__file__).parents[2]
    for i, name in enumerate("abc"):
        (tmp_path / f"{name}.txt").write_text(str(i + 1))
    count = 4
    processes = [
        subprocess.Popen(
            [sys.executable, script, tmp_path, tmp_path / "cache", str(i), str(count)],
            env={**os.environ, "PYTHONPATH": str(repository)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    assert len(set(outputs)) == 1
    loads = (tmp_path / "loads.log").read_text().split()
    assert sorted(line.partition(":")[2] for line in loads) == ["a", "b", "c"]
    assert len({line.partition(":")[0] for line in loads}) == 1
    folders = [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert [path.name for path in folders] == outputs[0].split()[:1]


@pytest.fixture
def several_processes(monkeypatch):
    """Reads in processes even what is read in no time; tells how often."""
    calls = []
    in_processes = collecting._in_processes

    def counted(*args):
        calls.append(args)
        return in_processes(*args)

    def start(on):
        monkeypatch.setattr(collecting, "WORTH_PROCESSES", 0.0 if on else 1e9)
        monkeypatch.setattr(collecting, "_in_processes", counted)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
        return calls

    return start


@pytest.mark.parametrize("kinds", ["bbbbbbbb", "ffffffff", "bbbbbbbf"])
def test_processes_read_what_one_process_reads(volumes, tmp_path, several_processes, kinds):
    own = volumes(kinds)
    assert several_processes(False) == []
    alone = prepare(own, tmp_path / "alone")
    calls = several_processes(True)
    assert calls == []
    together = prepare(own, tmp_path / "together")
    assert calls
    assert together.index == alone.index
    assert together.images.dtype == alone.images.dtype
    assert np.array_equal(together.images, alone.images)
    assert np.array_equal(together.labels, alone.labels)
    direct = prepare(own, None)
    assert np.array_equal(direct.images[range(8)], alone.images)
    assert direct.class_names == alone.class_names


@pytest.mark.parametrize("fault", ["truncated", "channels", "label"])
def test_fault_found_in_a_process_is_one_line(volumes, tmp_path, several_processes, fault):
    own = volumes(labels={"a": range(1, 9)})
    path = own.root / "6.nii"
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif fault == "channels":
        image = np.arange(2 * np.prod(SHAPE)).reshape(*SHAPE, 2)
        write_nifti(own.root / "6.nii", (image % 9).astype(np.uint8))
    else:
        write_nifti(own.root / "6_labels.nii", np.full(SHAPE, 77, np.uint8))
    messages = []
    for on in (False, True):
        calls = several_processes(on)
        with pytest.raises(DataError) as raised:
            prepare(own, tmp_path / "cache")
        assert type(raised.value) is DataError
        messages.append(str(raised.value))
        assert [p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"] == []
    assert calls
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    assert "6" in messages[0]
