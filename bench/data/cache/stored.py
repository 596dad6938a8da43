"""Files of a cache folder: its index and its arrays, each subject checked on its first use."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.cache.collector import checksum_of
from bench.errors import DamagedCache
from bench.store.files import ALTERED, is_as_sealed

INDEX = "index.json"
NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a cache folder.

    Raises:
        DamagedCache: If it has changed since it was written; the folder is then deleted.
    """
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
        whole = is_as_sealed(index)
    except (*NO_FILE, ValueError, AttributeError) as error:
        raise _discarded(folder, f"{INDEX} cannot be read: {type(error).__name__}") from error
    if not whole:
        raise _discarded(folder, f"{INDEX} {ALTERED}")
    return index


class StoredArrays:
    """Arrays of a cache folder, with one entry for each subject.

    Every method raises DamagedCache if what it reads has changed since it was written. It then
    deletes the folder, unless another process has rebuilt it.
    """

    def __init__(self, folder: Path, index: Mapping[str, Any]) -> None:
        self.folder = folder
        self.index = index
        self._checked: set[tuple[str, int]] = set()

    def mapped(self, name: str) -> np.ndarray:
        """An array of all subjects, memory-mapped and unchecked."""
        return self._load(name, mmap_mode="r")

    def whole(self, name: str) -> np.ndarray:
        """An array of all subjects in memory, checked."""
        array = self._load(name)
        self.check(name, range(len(array)), array)
        return array

    def check(self, name: str, members: Sequence[int], blocks: np.ndarray) -> None:
        """Checks what some subjects have in an array, each one once.

        Args:
            name: Of the array's file.
            members: Indices of the subjects.
            blocks: What they have, along the first axis.
        """
        for member, block in zip(members, blocks, strict=True):
            if (name, member) in self._checked:
                continue
            if checksum_of(block) != self.index["checksums"][name][member]:
                raise self._damaged(f"{name}: subject {self.index['ids'][member]} {ALTERED}")
            self._checked.add((name, member))

    def _load(self, name: str, mmap_mode: Any = None) -> np.ndarray:
        try:
            array: np.ndarray = np.load(self.folder / name, mmap_mode=mmap_mode)
        except Exception as error:  # NumPy raises all kinds for a damaged header
            if isinstance(error, OSError) and not isinstance(error, NO_FILE):
                raise  # the disk's fault
            raise self._damaged(f"{name} cannot be read: {type(error).__name__}") from error
        if len(array) != (subjects := len(self.index["ids"])):
            raise self._damaged(f"{name} has {len(array)} of {subjects} subjects")
        return array

    def _damaged(self, reason: str) -> DamagedCache:
        """The error for arrays that do not match the index."""
        with suppress(OSError, ValueError, KeyError):
            now = json.loads((self.folder / INDEX).read_text())
            if now["checksums"] != self.index["checksums"]:
                return DamagedCache(
                    f"{self.folder}: another process has rebuilt it, since the files have changed. "
                    "Run the same command again to read it."
                )
        return _discarded(self.folder, reason)


def _discarded(folder: Path, reason: str) -> DamagedCache:
    """Deletes a damaged cache folder, its index first; returns what to raise."""
    try:
        if not (folder / INDEX).is_dir():
            (folder / INDEX).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except FileNotFoundError:  # another process was faster
        pass
    except OSError as error:
        return DamagedCache(
            f"{folder}: is damaged ({reason}) and cannot be deleted ({error.strerror}). Delete it, "
            "or choose another folder with dataset.cache=DIR."
        )
    return DamagedCache(
        f"{folder}: is damaged ({reason}) and has been deleted; the same command rebuilds it."
    )
