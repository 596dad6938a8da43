"""Downloads against a local server: cut, refused, resumed, checked."""

import hashlib
import os
from collections import namedtuple

import pytest
from data.servers import Site, served

from bench.data.getting.download import ATTEMPTS, CHUNK, download
from bench.errors import DataError

CONTENT = os.urandom(3_000_000)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def test_file_is_downloaded_and_nothing_else_stays(tmp_path):
    with served(Site(CONTENT)) as url:
        path = download(url, tmp_path / "new" / "file.zip", DIGEST)
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.zip"]


@pytest.mark.parametrize("cuts", [[1_500_000], [1, 2_000_000, 500_000]])
def test_cut_download_goes_on_where_it_was(tmp_path, cuts):
    site = Site(CONTENT, cuts=list(cuts))
    with served(site) as url:
        path = download(url, tmp_path / "file.zip", DIGEST)
    assert path.read_bytes() == CONTENT
    assert len(site.requests) == len(cuts) + 1
    have = 0
    for came, request in zip(cuts, site.requests[1:], strict=True):
        start = int(request.removeprefix("bytes=").removesuffix("-")) if request else 0
        assert have + came - CHUNK < start <= have + came
        have = start


def test_a_later_command_goes_on_where_an_earlier_one_gave_up(tmp_path):
    site = Site(CONTENT, cuts=[1_000_000] + [0] * ATTEMPTS)
    path = tmp_path / "file.zip"
    with served(site) as url:
        with pytest.raises(
            DataError, match=r"(0.9|1.0) MB are kept; the same command continues"
        ) as e:
            download(url, path, DIGEST)
        assert "\n" not in str(e.value)
        assert not path.exists()
        site.requests.clear()
        download(url, path, DIGEST)
    (request,) = site.requests
    assert 1_000_000 - CHUNK < int(request[6:-1]) <= 1_000_000
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": '"two"'}])
def test_file_that_cannot_go_on_starts_again(tmp_path, change):
    """Because the server cannot, or because the file is another one by now."""
    site = Site(CONTENT[::-1], cuts=[1_000_000] + [0] * ATTEMPTS)
    path = tmp_path / "file.zip"
    with served(site) as url, pytest.raises(DataError):
        download(url, path, DIGEST)
    kept = path.with_name("file.zip.part").stat().st_size
    assert 1_000_000 - CHUNK < kept <= 1_000_000
    with served(Site(CONTENT, **change)) as url:
        assert download(url, path, DIGEST).read_bytes() == CONTENT


def test_whole_part_is_not_downloaded_again(tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    site = Site(CONTENT)
    with served(site) as url:
        assert download(url, tmp_path / "file.zip", DIGEST).read_bytes() == CONTENT
    assert site.requests == [f"bytes={len(CONTENT)}-"]


def test_other_checksum_is_refused_and_leaves_nothing(tmp_path):
    with served(Site(CONTENT + b"!")) as url:
        words = r"another checksum than the published sha256:.*Run the same command again"
        with pytest.raises(DataError, match=words) as raised:
            download(url, tmp_path / "file.zip", DIGEST)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusal_is_told_at_once(tmp_path, status):
    site = Site(CONTENT, status=status)
    with served(site) as url, pytest.raises(DataError, match=f"the server answers {status} .*by h"):
        download(url, tmp_path / "file.zip")
    assert len(site.requests) == 1


def test_server_that_is_overloaded_is_asked_again(tmp_path):
    site = Site(CONTENT, status=503)
    with served(site) as url, pytest.raises(DataError, match="Try again later, or download"):
        download(url, tmp_path / "file.zip")
    assert len(site.requests) == ATTEMPTS


def test_no_server_is_told(tmp_path):
    with served(Site(CONTENT)) as url:
        pass
    with pytest.raises(DataError, match=r"cannot be downloaded .*Try again later"):
        download(url, tmp_path / "file.zip")


def test_disk_that_is_too_small_is_told_first(tmp_path, monkeypatch):
    usage = namedtuple("Usage", "free")(1000)
    monkeypatch.setattr("bench.data.getting.download.shutil.disk_usage", lambda folder: usage)
    with served(Site(CONTENT)) as url, pytest.raises(DataError, match=": 3 MB remain to download"):
        download(url, tmp_path / "file.zip")
    assert list(tmp_path.iterdir()) == []
