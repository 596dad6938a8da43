"""Raw data sets of nnU-Net v2."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.data.files.images import read_raw
from bench.data.preprocessing.label_table import LabelTable, few
from bench.data.sources.source import Source
from bench.data.sources.splits import ShuffledSplits
from bench.data.sources.subject import TEST, Raw, Subject
from bench.errors import DataError

COLOURED = (".png", ".tif", ".tiff")  # one file may hold all channels: red, green and blue


@dataclass(kw_only=True)
class NnUNet(ShuffledSplits, Source):
    """`dataset.json`, images `imagesTr/NAME_0000.nii.gz`, `NAME_0001…` for each channel, and
    `labelsTr/NAME.nii.gz`; of any file ending that is read.

    The training cases are split by `fractions`. Where `imagesTs` comes with `labelsTs`, those cases
    are the test split, and the training cases are cut into train and val in the proportion of
    `fractions`. Classes are those of `dataset.json` unless `classes` or `labels` are given.

    Attributes:
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
    """

    ignore_affine: bool = False

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        cases = self._cases(root, "Tr")
        tested = self._cases(root, "Ts") if (root / "labelsTs").is_dir() else []
        if not tested:
            return [_subject(case, split) for case, split in self.split(cases)]
        train, val = self.fractions
        alone = ShuffledSplits(split_seed=self.split_seed, fractions=self.fractions)
        shuffled = [case for case, _ in alone.split(cases)]
        first = round(len(shuffled) * train / (train + val))
        found = [_subject(case, "train") for case in shuffled[:first]]
        found += [_subject(case, "val") for case in shuffled[first:]]
        return found + [_subject(case, TEST) for case in tested]

    def read(self, subject: Subject) -> Raw:
        return read_raw(subject.images, subject.labels, self.ndim, self.ignore_affine)

    def channel_names(self) -> list[str]:
        """Names of the channels, as `dataset.json` gives them."""
        names = self._description(self.existing_root())[1]["channel_names"]
        return [str(names[number]) for number in sorted(names, key=int)]

    @cached_property
    def table(self) -> LabelTable:
        """What the label ids stand for, as `dataset.json` says unless the configuration does."""
        if self.classes is not None or self.labels is not None:
            return LabelTable(self.classes, self.labels)
        path, description = self._description(self.existing_root())
        names = description["labels"]
        if not all(type(i) is int for i in names.values()):
            raise DataError(
                f"{path}: its labels are overlapping regions. Define classes in dataset.labels, as "
                "{name: [ids]}."
            )
        return LabelTable({i: name for name, i in names.items()}, None)

    def _cases(self, root: Path, part: str) -> list[tuple[str, list[Path], Path]]:
        """Name, images and labels of the cases of `imagesTr` or `imagesTs`, in order.

        Raises:
            DataError: If a case lacks a channel or its labels, or there is none.
        """
        path, description = self._description(root)
        ending, channels = description["file_ending"], range(len(description["channel_names"]))
        folder, labels = root / f"images{part}", root / f"labels{part}"
        first = f"_0000{ending}"
        names = sorted(file.name.removesuffix(first) for file in folder.glob(f"*{first}"))
        if not names:
            raise DataError(
                f"dataset {self.name}: {folder} holds no images NAME{first}, which {path.name} "
                "announces. Point dataset.root at the folder of one data set, such as "
                "Dataset001_NAME."
            )
        found = []
        for name in names:
            images = [folder / f"{name}_{channel:04d}{ending}" for channel in channels]
            if not images[-1].exists() and images[0].suffix.lower() in COLOURED:
                images = images[:1]
            label_map = labels / f"{name}{ending}"
            for file in (*images, label_map):
                if not file.exists():
                    raise DataError(
                        f"dataset {self.name}: {file} of case {name} is missing. Copy it there, or "
                        "remove the case."
                    )
            found.append((name, images, label_map))
        return found

    def _description(self, root: Path) -> tuple[Path, Mapping[str, Any]]:
        """`dataset.json`.

        Raises:
            DataError: If it is missing, or not of nnU-Net v2.
        """
        path = root / "dataset.json"
        if not path.exists():
            below = sorted(found.parent.name for found in root.glob("Dataset*/dataset.json"))
            if below:
                raise DataError(
                    f"dataset {self.name}: {root} holds several data sets ({few(below, 4)}). Point "
                    f"dataset.root at one of them, such as {root / below[0]}."
                )
            raise DataError(
                f"dataset {self.name}: {path} does not exist. Point dataset.root at the folder "
                "that holds dataset.json, imagesTr and labelsTr."
            )
        try:
            description = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise DataError(f"{path}: is not JSON. Copy the file again.") from error
        if not is_nnunet(description):
            raise DataError(
                f"{path}: lacks channel_names, labels or file_ending of nnU-Net v2. For the "
                "Medical Segmentation Decathlon or Learn2Reg use dataset=hippocampus with "
                "dataset.root and dataset.name."
            )
        return path, description


def nnunet_hint(root: Path) -> str:
    """Hint for users who read a folder of nnU-Net v2 as another data set."""
    try:
        description = json.loads((root / "dataset.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return ""
    return " It has the layout of nnU-Net v2: use dataset=nnunet." if is_nnunet(description) else ""


def is_nnunet(description: Any) -> bool:
    """Whether this is the content of a `dataset.json` of nnU-Net v2."""
    kinds = {"channel_names": dict, "labels": dict, "file_ending": str}
    return isinstance(description, dict) and all(
        isinstance(description.get(key), kind) for key, kind in kinds.items()
    )


def _subject(case: tuple[str, list[Path], Path], split: str) -> Subject:
    name, (first, *further), labels = case
    return Subject(name, split, first, labels, further=tuple(further))
