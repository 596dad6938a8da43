"""`bench data prepare`: a data set gets its place when all is well, or not at all."""

import hashlib
import json
import shutil
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import sleep

import numpy as np
import pytest
import tifffile
import yaml
from conf_options import experiment
from data.servers import Site, served

from bench.config.groups import option_files
from bench.data.getting.archive import unpack
from bench.data.getting.download import CHUNK
from bench.data.getting.obtain import HASHES, is_ready, obtain
from bench.data.setup import make_source
from bench.errors import DataError, NoRoom


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small set in the layout of phc_u373."""
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("tree")
    for sequence in ("01", "02"):
        (root / sequence).mkdir()
        (root / f"{sequence}_ST" / "SEG").mkdir(parents=True)
        for i in range(8):
            image = random.integers(256, size=(24, 30)).astype(np.uint8)
            tifffile.imwrite(root / sequence / f"t{i:03d}.tif", image)
            mask = (image // 64).astype(np.uint16)
            tifffile.imwrite(root / f"{sequence}_ST" / "SEG" / f"man_seg{i:03d}.tif", mask)
    return root


def packed(tree, path, top="PhC-C2DH-U373", leave_out=()):
    with zipfile.ZipFile(path, "w") as file:
        for entry in sorted(tree.rglob("*")):
            name = str(entry.relative_to(tree))
            if entry.is_file() and name not in leave_out:
                file.write(entry, f"{top}/{name}")
    return path


def phc(root):
    return make_source(experiment(["dataset=phc_u373", f"dataset.root={root}"]))


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.parametrize("top", ["PhC-C2DH-U373", "a/b", "."])
def test_archive_is_put_in_place(tree, tmp_path, top):
    archive = packed(tree, tmp_path / "archive.zip", top)
    root = tmp_path / "root"
    assert obtain(phc(root), {}, archive) == 8 + 3 + 4
    assert content(root) == content(tree)
    assert is_ready(phc(root)) == 15


def test_second_time_nothing_is_done(tree, tmp_path):
    root = tmp_path / "root"
    obtain(phc(root), {}, packed(tree, tmp_path / "archive.zip"))
    assert obtain(phc(root), {}, tmp_path / "gone.zip") == 15


def test_readme_of_the_folder_stays(tree, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "README.md").write_text("ours")
    (tree / "README.md").write_text("theirs")
    try:
        obtain(phc(root), {}, packed(tree, tmp_path / "archive.zip"))
    finally:
        (tree / "README.md").unlink()
    assert (root / "README.md").read_text() == "ours"


def test_interrupted_preparation_is_done_again(tree, tmp_path, monkeypatch):
    root, archive = tmp_path / "root", packed(tree, tmp_path / "archive.zip")
    replace, calls = __import__("os").replace, []

    def fails_at_third(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("bench.data.getting.obtain.os.replace", fails_at_third)
        with pytest.raises(KeyboardInterrupt):
            obtain(phc(root), {}, archive)
    assert is_ready(phc(root)) is None
    assert obtain(phc(root), {}, archive) == 15
    assert content(root) == content(tree)


def refused(root, archive, words, about=None):
    with pytest.raises(DataError, match=words) as raised:
        obtain(phc(root), about or {}, archive)
    assert "\n" not in str(raised.value)
    assert not [path for path in Path(root).rglob("*") if not path.name.startswith(".")]


def test_archive_of_another_set_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        file.writestr("imagesTr/a.nii.gz", b"")
    words = r"archive.zip: does not hold the data set phc_u373 \(.*01 holds no frames"
    refused(tmp_path / "root", tmp_path / "archive.zip", words)


def test_incomplete_archive_is_refused(tree, tmp_path):
    archive = packed(tree, tmp_path / "archive.zip", leave_out=["02/t002.tif"])
    refused(tmp_path / "root", archive, "lacks frame 2 of its sequence 0 to 7")


def test_archive_with_a_damaged_file_is_refused(tree, tmp_path):
    archive = packed(tree, tmp_path / "archive.zip", leave_out=["02/t002.tif"])
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("PhC-C2DH-U373/02/t002.tif", b"II*\0damaged")
    refused(tmp_path / "root", archive, r"archive.zip: .*t002.tif: cannot be read as TIFF")


def test_truncated_archive_is_refused(tree, tmp_path):
    archive = packed(tree, tmp_path / "archive.zip")
    archive.write_bytes(archive.read_bytes()[:-3000])
    refused(tmp_path / "root", archive, "truncated. Download it again")


def test_set_that_needs_a_request_says_so(tmp_path):
    about = {"manual": "Ask the owners."}
    refused(tmp_path / "root", None, r"cannot be downloaded. Ask the owners\.", about)
    assert not (tmp_path / "root").exists()


def test_dropped_connection_ends_with_the_same_bytes(tree, tmp_path):
    archive = packed(tree, tmp_path / "archive.zip")
    data = archive.read_bytes()
    site = Site(data, cuts=[len(data) // 2])
    root = tmp_path / "root"
    with served(site) as url:
        assert obtain(phc(root), {"url": url, "hash": None}, None) == 15
    assert len(site.requests) == 2
    assert content(root) == content(tree)


def test_real_archive_over_a_dropping_connection(real_data, tmp_path):
    data = (real_data / "phc_trpl.zip").read_bytes()
    site = Site(data, cuts=[len(data) // 2])
    with served(site) as url:
        assert obtain(phc(tmp_path / "root"), {"url": url}, None) == 19
    first, second = site.requests
    assert first is None
    assert len(data) // 2 - CHUNK < int(second[6:-1]) <= len(data) // 2
    assert content(tmp_path / "root") == content(real_data / "phc_trpl")


def test_download_that_is_not_the_set_is_asked_for_again(tree, tmp_path):
    archive = packed(tree, tmp_path / "archive.zip")
    site = Site(b"<html>Too many requests</html>")
    with served(site) as url:
        refused(tmp_path / "root", None, "is not a zip or tar archive", {"url": url})
        site.content = archive.read_bytes()
        assert obtain(phc(tmp_path / "root"), {"url": url}, None) == 15
    assert len(site.requests) == 2


def test_download_stays_where_the_disk_is_full(tree, tmp_path, monkeypatch):
    site = Site(packed(tree, tmp_path / "archive.zip").read_bytes())
    usage = namedtuple("Usage", "free")
    with served(site) as url:
        with monkeypatch.context() as patch:
            patch.setattr(
                "bench.data.getting.archive.shutil.disk_usage",
                lambda folder: usage(10 if folder.name == ".unpacked" else 10**12),
            )
            with pytest.raises(NoRoom):
                obtain(phc(tmp_path / "root"), {"url": url}, None)
        obtain(phc(tmp_path / "root"), {"url": url}, None)
    assert len(site.requests) == 1


def test_hash_of_the_first_download_holds_for_later_ones(tree, tmp_path):
    root = tmp_path / "root"
    site = Site(packed(tree, tmp_path / "archive.zip").read_bytes())
    with served(site) as url:
        obtain(phc(root), {"url": url}, None)
        digest = hashlib.sha256(site.content).hexdigest()
        assert json.loads((root / HASHES).read_text()) == {url: f"sha256:{digest}"}
        for entry in [entry for entry in root.iterdir() if entry.name[0] != "."]:
            shutil.rmtree(entry)
        former = site.content
        site.content = packed(tree, tmp_path / "other.zip", top="other").read_bytes()
        words = r"another checksum than the first one's, in .*\.hashes\.json, sha256:"
        refused(root, None, words, {"url": url})
        site.content = former
        assert obtain(phc(root), {"url": url}, None) == 15


def test_two_at_once_download_once_and_leave_one_set(tree, tmp_path, monkeypatch):
    site = Site(packed(tree, tmp_path / "archive.zip").read_bytes())
    root, start = tmp_path / "root", Barrier(2)
    sources = [phc(root), phc(root)]

    def slowly(archive, folder):
        sleep(0.5)
        return unpack(archive, folder)

    def prepare(source):
        start.wait()
        return obtain(source, {"url": url}, None)

    monkeypatch.setattr("bench.data.getting.obtain.unpack", slowly)
    with served(site) as url, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(prepare, sources)) == [15, 15]
    assert len(site.requests) == 1
    assert content(root) == content(tree)
    assert {path.name for path in root.glob(".*")} == {HASHES, ".prepare.lock"}


def test_published_hash_is_the_one_that_holds(tree, tmp_path):
    site = Site(packed(tree, tmp_path / "archive.zip").read_bytes())
    digest = hashlib.sha256(site.content).hexdigest()
    with served(site) as url:
        obtain(phc(tmp_path / "root"), {"url": url, "hash": f"sha256:{digest}"}, None)
    assert not (tmp_path / "root" / HASHES).exists()


def test_addresses_are_encrypted():
    for path in option_files("dataset"):
        url = yaml.safe_load(path.read_text()).get("about", {}).get("url")
        assert url is None or url.startswith("https://"), path
