"""A cache that has changed, or whose files have, is made again and never used."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from image_files import write_nifti

from bench.data import NiftiTable, prepare
from bench.data.batches.loading import read_images, read_landmarks, read_segmentations
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import find
from bench.data.sources.subject import SPLITS
from bench.errors import DamagedCache, DataError

SHAPE = (6, 7, 8)
NAMES = ("images.npy", "labels.npy", "landmarks.npy", "index.json")
ARRAYS = NAMES[:3]
CPU = torch.device("cpu")


@pytest.fixture
def source(tmp_path):
    """Three volumes with labels and points; each call makes a new source on the same files."""
    random = np.random.default_rng(0)
    rows = ["image,labels,landmarks,split"]
    for i, split in enumerate(SPLITS):
        write_nifti(tmp_path / "own" / f"{i}.nii", random.normal(size=SHAPE).astype(np.float32))
        write_nifti(tmp_path / "own" / f"{i}_l.nii", random.integers(0, 3, SHAPE, np.uint8))
        (tmp_path / "own" / f"{i}.csv").write_text(f"x,y,z\n1,2,{i}\n2,3,4\n")
        rows.append(f"{i}.nii,{i}_l.nii,{i}.csv,{split}")
    (tmp_path / "own" / "subjects.csv").write_text("\n".join(rows))

    def make(table_file="subjects.csv"):
        pairs = dict.fromkeys(SPLITS, "cross")
        root = tmp_path / "own"
        return NiftiTable(name="own", ndim=3, pairs=pairs, root=root, table_file=table_file)

    return make


def contents(dataset):
    """All that is trained on."""
    members = range(len(dataset.ids))
    return [read(dataset, members, CPU) for read in (read_images, read_segmentations)] + [
        read_landmarks(dataset, members, CPU)
    ]


def assert_same(dataset, expected):
    for ours, theirs in zip(contents(dataset), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def flip(path: Path, place: int, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def put_folder_in_place_of(path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


DAMAGES = {
    "bit": lambda path: flip(path, -1),
    "middle": lambda path: flip(path, path.stat().st_size // 2, 16),
    "header": lambda path: flip(path, 12),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "folder": lambda path: put_folder_in_place_of(path),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_damaged_file_is_named_and_made_again(source, tmp_path, capsys, name, damage):
    first = prepare(source(), tmp_path / "cache")
    expected = contents(first)
    DAMAGES[damage](first.folder / name)
    try:
        assert_same(prepare(source(), tmp_path / "cache"), expected)
        said = capsys.readouterr().out
    except DamagedCache as error:
        said = str(error)
    if (name, damage) != ("index.json", "bit"):  # which is a line break
        assert f"{first.folder}: is damaged ({name}" in said
        assert "has been deleted; the same command rebuilds it." in said
    assert_same(prepare(source(), tmp_path / "cache"), expected)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in first.folder.iterdir()) == sorted(NAMES)


def test_every_byte_of_an_array_counts(source, tmp_path):
    """In the header, too: another type or order of axes is another image."""
    dataset = prepare(source(), tmp_path / "cache")
    expected = np.load(dataset.folder / "labels.npy")
    size = (dataset.folder / "labels.npy").stat().st_size
    found = []
    for place in range(size - 40):
        copy = Path(shutil.copytree(dataset.folder, tmp_path / f"copy{place}"))
        flip(copy / "labels.npy", place)
        try:
            labels = PreparedDataset.open(copy, {}).labels_of(range(3))
        except DamagedCache:
            found.append(place)
        else:  # it is of no meaning, such as padding of the header
            assert np.array_equal(labels, expected)
            shutil.rmtree(copy)
        assert not copy.exists()
    assert set(range(128, size - 40)) < set(found)


def test_subject_that_is_not_used_is_not_checked(source, tmp_path):
    folder = prepare(source(), tmp_path / "cache").folder
    flip(folder / "images.npy", -1)
    dataset = prepare(source(), tmp_path / "cache")
    read_images(dataset, [0, 1], CPU)
    with pytest.raises(DamagedCache, match=r"images.npy: subject 2 has changed since"):
        read_images(dataset, [2], CPU)


def test_damaged_cache_is_no_cache_for_a_plan(source, tmp_path, capsys):
    folder = prepare(source(), tmp_path / "cache").folder
    (folder / "index.json").write_text("{")
    with pytest.raises(DataError, match="its images have not been read"):
        find(source(), tmp_path / "cache")
    assert "is damaged (index.json" in capsys.readouterr().out


def replace_keeping_size_and_time(path: Path, content: bytes) -> None:
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("trust", [True, False])
def test_file_changed_with_size_and_time_kept_is_read_again(source, tmp_path, trust):
    before = prepare(source(), tmp_path / "cache")
    images = before.images_of(range(3))
    path = source().root / "1.nii"
    content, voxel = path.read_bytes(), np.float32(0.123).tobytes()
    replace_keeping_size_and_time(path, content[: -4 * 50] + voxel * 50)
    after = prepare(source(), tmp_path / "cache", trust)
    assert after.fingerprint != before.fingerprint == before.index["fingerprint"]
    assert not np.array_equal(after.images_of([1]), images[[1]])
    assert np.array_equal(after.images_of([0, 2]), images[[0, 2]])
    late = PreparedDataset(before.folder, before.index, before.pairing)
    with pytest.raises(DamagedCache, match="another process has rebuilt it"):
        late.images_of([1])
    assert prepare(source(), tmp_path / "cache").index == after.index


def test_touched_file_of_the_same_content_is_not_read_again(source, tmp_path):
    before = prepare(source(), tmp_path / "cache")
    path = source().root / "1.nii"
    replace_keeping_size_and_time(path, path.read_bytes())
    again = prepare(source(), tmp_path / "cache")
    written = (again.folder / "images.npy").stat().st_ino
    assert written == (before.folder / "images.npy").stat().st_ino
    assert again.index["times"] != before.index["times"]
    assert prepare(source(), tmp_path / "cache").index == again.index


def test_file_in_the_place_of_the_cache_is_not_deleted(source, tmp_path):
    folder = prepare(source(), tmp_path / "cache").folder
    shutil.rmtree(folder)
    folder.write_text("mine")
    with pytest.raises(DamagedCache, match=r"cannot be deleted \(Not a directory\). Delete it, or"):
        prepare(source(), tmp_path / "cache")
    assert folder.read_text() == "mine"


@pytest.mark.parametrize("damage", ["bit", "folder"])
@pytest.mark.parametrize("name", ARRAYS)
def test_nothing_is_trusted_if_told_so(source, tmp_path, name, damage):
    first = prepare(source(), tmp_path / "cache")
    expected = contents(first)
    DAMAGES[damage](first.folder / name)
    assert_same(prepare(source(), tmp_path / "cache", trust=False), expected)


def test_files_that_change_while_they_are_read_are_refused(source, tmp_path):
    own = source()
    load = own.load

    def load_while_it_is_copied(subject):
        sample = load(subject)
        os.utime(subject.image)
        return sample

    own.load = load_while_it_is_copied
    with pytest.raises(DataError, match="files changed while the suite read them"):
        prepare(own, tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"] == []


def test_voxels_of_a_pair_of_files_count(source, tmp_path):
    own = source()
    rows = ["image,split\nold.hdr,train\n1.nii,val\n2.nii,test"]
    (own.root / "pairs.csv").write_text("\n".join(rows))
    found = []
    for value in (0, 300):
        array = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
        array[0, 0, 0] = value
        nibabel.save(nibabel.Nifti1Pair(array, np.eye(4)), own.root / "old.img")
        found.append(prepare(source("pairs.csv"), tmp_path / "cache"))
        direct = prepare(source("pairs.csv"), None)
        assert direct.fingerprint == found[-1].fingerprint
        assert np.array_equal(direct.images[[0]], found[-1].images_of([0]))
    assert found[0].fingerprint != found[1].fingerprint
    assert not np.array_equal(found[0].images_of([0]), found[1].images_of([0]))


def test_everything_is_on_the_disk_before_it_counts(source, tmp_path, monkeypatch):
    """A power cut cannot be tested; that all is synchronized before it is renamed can."""
    done = []
    synchronize, renamed = os.fsync, Path.replace

    def noted(handle):
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        synchronize(handle)

    def noted_replace(self, target):
        done.append(f"{self.name} -> {Path(target).name}")
        return renamed(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", noted_replace)
    name = prepare(source(), tmp_path / "cache").folder.name
    place = done.index(f"{name}.partial -> {name}")
    assert {*NAMES, f"{name}.partial"} <= set(done[:place])
    assert done[place + 1] == "cache"
