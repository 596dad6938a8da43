"""Maps the label ids of files to classes: names, merges or drops them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError, DataError

BACKGROUND = "background"
REST = "rest"
LARGEST = 65535

# FreeSurfer's segmentation (FreeSurferColorLUT), left and right merged, the structures that
# VoxelMorph's evaluation names (Balakrishnan et al., IEEE TMI 2019).
FREESURFER: dict[str, Any] = {
    "cerebral white matter": [2, 41],
    "cerebral cortex": [3, 42],
    "lateral ventricle": [4, 43],
    "cerebellum white matter": [7, 46],
    "cerebellum cortex": [8, 47],
    "thalamus": [10, 49],
    "caudate": [11, 50],
    "putamen": [12, 51],
    "pallidum": [13, 52],
    "third ventricle": [14],
    "fourth ventricle": [15],
    "brain stem": [16],
    "hippocampus": [17, 53],
    "amygdala": [18, 54],
    "CSF": [24],
    "accumbens": [26, 58],
    "ventral DC": [28, 60],
    "choroid plexus": [31, 63],
    BACKGROUND: REST,
}
# The 35 ids of neurite-OASIS and Learn2Reg OASIS (seg35), left and right merged; vessels dropped.
OASIS35: dict[str, Any] = {
    "cerebral white matter": [1, 20],
    "cerebral cortex": [2, 21],
    "lateral ventricle": [3, 22],
    "inferior lateral ventricle": [4, 23],
    "cerebellum white matter": [5, 24],
    "cerebellum cortex": [6, 25],
    "thalamus": [7, 26],
    "caudate": [8, 27],
    "putamen": [9, 28],
    "pallidum": [10, 29],
    "third ventricle": [11],
    "fourth ventricle": [12],
    "brain stem": [13],
    "hippocampus": [14, 30],
    "amygdala": [15, 31],
    "accumbens": [16, 32],
    "ventral DC": [17, 33],
    "choroid plexus": [19, 35],
    BACKGROUND: [18, 34],
}
OASIS4: dict[str, Any] = {
    "cortex": 1,
    "subcortical grey matter": 2,
    "white matter": 3,
    "CSF": 4,
}
TABLES = {"freesurfer": FREESURFER, "oasis35": OASIS35, "oasis4": OASIS4}


class LabelTable:
    """Maps ids of files to ids of classes.

    Attributes:
        names: Name of each class by its id; id 0 is background.

    Args:
        classes: Names of the ids, or the number N of ids 0..N-1, where ids stay what they are.
        labels: Table `{name: id or [ids]}`, or the name of one in `TABLES`; its classes are
            numbered in this order from 1. `background` lists ids that are dropped, besides 0.
            `rest` in place of ids takes all that are not listed. None keeps ids.

    Raises:
        ConfigError: If the table has another form, or lists an id twice.
    """

    def __init__(
        self,
        classes: int | Mapping[int, str] | None,
        labels: str | Mapping[str, Any] | None,
    ) -> None:
        self.rest: int | None = None
        if labels is None:
            if classes is None:
                raise ConfigError("dataset.classes or dataset.labels must define the labels.")
            self.names = {0: BACKGROUND} | _names(classes)
            self.target = {i: i for i in self.names}
        else:
            table = _table(labels)
            self.names = {0: BACKGROUND}
            self.target = {0: 0}
            for name, ids in table.items():
                position = 0 if name == BACKGROUND else len(self.names)
                self.names.setdefault(position, _name(name))
                if ids == REST:
                    if self.rest is not None:
                        raise ConfigError("dataset.labels: only one class can be 'rest'.")
                    self.rest = position
                    continue
                for i in ids if isinstance(ids, Sequence) and not isinstance(ids, str) else [ids]:
                    self._assign(i, position)
        self._check()

    def apply(self, ids: np.ndarray, where: str) -> np.ndarray:
        """Class ids of a label map.

        Args:
            ids: (*S) whole numbers.
            where: Names the file in messages.

        Returns:
            (*S) int32.

        Raises:
            DataError: If an id is not in the table.
        """
        found, places = np.unique(ids, return_inverse=True)
        unknown = self.unknown(found.tolist())
        if unknown:
            raise DataError(
                f"{where}: labels {few(unknown)} are outside the declared classes "
                f"{few(sorted(self.target))}. Declare them in dataset.classes or merge them in "
                "dataset.labels, or correct the file."
            )
        rest = self.rest if self.rest is not None else 0
        targets = np.array([self.target.get(i, rest) for i in found.tolist()], np.int32)
        return targets[places].reshape(ids.shape)

    def unknown(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that the table does not hold."""
        if self.rest is not None:
            return []
        return sorted(i for i in ids if i not in self.target)

    def settings(self) -> dict[str, Any]:
        """What determines the class ids."""
        return {
            "names": {str(i): name for i, name in self.names.items()},
            "ids": {str(i): target for i, target in sorted(self.target.items())},
            "rest": self.rest,
        }

    def _assign(self, i: Any, position: int) -> None:
        if isinstance(i, bool) or not isinstance(i, int):
            raise ConfigError(f"dataset.labels: {i!r} is not a label id; give whole numbers.")
        if self.target.get(i, position) != position:
            raise ConfigError(f"dataset.labels: id {i} is listed for two classes.")
        self.target[i] = position

    def _check(self) -> None:
        outside = [i for i in (*self.names, *self.target) if not 0 <= i <= LARGEST]
        if outside:
            raise ConfigError(
                f"dataset.classes: label id {outside[0]} is outside 0 to {LARGEST}. Renumber it."
            )
        for name in self.names.values():
            same = [i for i, other in self.names.items() if other == name]
            if len(same) > 1:
                raise ConfigError(
                    f"dataset.classes: {' and '.join(map(str, same))} are both named {name}. Give "
                    f"each its name, or merge them: dataset.labels={{{name}: {same}, …}}."
                )


def few(values: Sequence[Any], most: int = 12) -> str:
    """The values in a line, cut after `most`."""
    shown = ", ".join(str(value) for value in values[:most])
    return shown + (f", … ({len(values)} in all)" if len(values) > most else "")


def _names(classes: Any) -> dict[int, str]:
    if is_count(classes):
        return {0: BACKGROUND} | {i: f"label {i}" for i in range(1, classes)}
    try:
        return {int(i): _name(name) for i, name in classes.items()}
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"dataset.classes={quoted(classes)}: must be a number of at least 1, or names by their "
            "ids {0: name, …}. Merge ids in dataset.labels."
        ) from error


def _name(name: Any) -> str:
    """The name of a class as it is written; Hydra and YAML read `null` as None."""
    return "null" if name is None else str(name)


def _table(labels: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(labels, str):
        if labels not in TABLES:
            raise ConfigError(
                f"dataset.labels={labels}: no such table. Known: {', '.join(TABLES)}. Or give "
                "{name: [ids], …}."
            )
        return TABLES[labels]
    if not isinstance(labels, Mapping):
        raise ConfigError(f"dataset.labels={quoted(labels)}: must be a table {{name: [ids], …}}.")
    return labels
