"""Splits for data sets without splits: a seeded shuffle, cut by shares."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.config.overrides import quoted
from bench.errors import ConfigError

Item = TypeVar("Item")


@dataclass(kw_only=True)
class ShuffledSplits:
    """Options of sources that split a list themselves.

    The shuffle is Python's `random.Random(seed).shuffle`, as in the published code of MIA 2023.

    Attributes:
        split_seed: Seed of the shuffle.
        fractions: Shares of training and validation; the rest is the test split.
    """

    split_seed: int = 42
    fractions: Sequence[float] = (0.6, 0.2)

    def split(self, items: Sequence[Item]) -> list[tuple[Item, str]]:
        """The items shuffled, each with its split.

        Raises:
            ConfigError: If the shares leave a split empty.
        """
        train, val = self.fractions
        if not (train > 0 and val > 0 and train + val < 1):
            raise ConfigError(
                f"dataset.fractions={quoted(self.fractions)}: must be the shares of train and val, "
                "both above 0 and their sum below 1."
            )
        shuffled = list(items)
        random.Random(self.split_seed).shuffle(shuffled)
        rounding = 1e-9  # 0.7 + 0.1 is a little less than 0.8
        first, second = (int(share * len(shuffled) + rounding) for share in (train, train + val))
        splits = ["train"] * first + ["val"] * (second - first)
        splits += ["test"] * (len(shuffled) - second)
        return list(zip(shuffled, splits, strict=True))
