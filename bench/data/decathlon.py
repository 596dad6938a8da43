"""Data sets in the layout of the Medical Segmentation Decathlon."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.source import Source
from bench.data.subject import Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Decathlon(Source):
    """`dataset.json` lists images and labels; the list is shuffled and cut into splits.

    The shuffle is Python's `random.Random(seed).shuffle`, as in the published code of MIA 2023.

    Attributes:
        split_seed: Seed of the shuffle.
        fractions: Shares of training and validation; the rest is the test split.
    """

    split_seed: int = 42
    fractions: Sequence[float] = (0.6, 0.2)

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        entries = self._entries(root)
        random.Random(self.split_seed).shuffle(entries)
        train, val = self.fractions
        if not (train > 0 and val > 0 and train + val < 1):
            raise ConfigError(
                f"dataset.fractions={list(self.fractions)}: must be the shares of train and val, "
                "above 0, their sum below 1."
            )
        rounding = 1e-9  # 0.7 + 0.1 is a little less than 0.8
        first, second = (int(share * len(entries) + rounding) for share in (train, train + val))
        splits = ["train"] * first + ["val"] * (second - first) + ["test"] * (len(entries) - second)
        return [
            Subject(
                id=Path(entry["image"]).name.removesuffix(".gz").removesuffix(".nii"),
                split=split,
                image=root / entry["image"],
                labels=root / entry["label"] if "label" in entry else None,
            )
            for entry, split in zip(entries, splits, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        own = {"split_seed": self.split_seed, "fractions": list(self.fractions)}
        return super().settings() | own

    def _entries(self, root: Path) -> list[dict[str, str]]:
        listing = root / "dataset.json"
        try:
            entries = json.loads(listing.read_text(encoding="utf-8-sig"))["training"]
            if not all(
                isinstance(entry["image"], str) and isinstance(entry.get("label", ""), str)
                for entry in entries
            ):
                raise TypeError
        except FileNotFoundError as error:
            raise DataError(
                f"dataset {self.name}: {listing} does not exist. Point dataset.root at the folder "
                "that holds dataset.json, imagesTr and labelsTr."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{listing}: must be JSON with a list 'training' of "
                '{"image": ..., "label": ...}. Download it again.'
            ) from error
        if not entries:
            raise DataError(f"{listing}: its list 'training' is empty. Download it again.")
        return entries
