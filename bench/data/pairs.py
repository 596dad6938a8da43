"""Pairing policies: which subjects are registered to which.

A policy turns the subjects of one split into (moving, fixed) pairs of their indices. All are
deterministic; which pair a training step sees is drawn in `bench.data.loading`.
"""

from collections.abc import Callable, Sequence

from bench.errors import ConfigError, DataError

Pairs = list[tuple[int, int]]


def atlas(members: Sequence[int], atlas_index: int | None) -> Pairs:
    """Every subject (moving) to the atlas (fixed)."""
    if atlas_index is None:
        raise DataError("pairing 'atlas' needs a subject of split 'atlas'; the data set has none.")
    return [(moving, atlas_index) for moving in members]


def cross(members: Sequence[int], atlas_index: int | None) -> Pairs:
    """Every subject to every other."""
    return [(moving, fixed) for moving in members for fixed in members if moving != fixed]


def mirrored(members: Sequence[int], atlas_index: int | None) -> Pairs:
    """Subject i to subject n-1-i; the middle one of an odd number is left out."""
    return [
        (moving, fixed)
        for moving, fixed in zip(members, reversed(members), strict=True)
        if moving != fixed
    ]


POLICIES: dict[str, Callable[[Sequence[int], int | None], Pairs]] = {
    "atlas": atlas,
    "cross": cross,
    "mirrored": mirrored,
}


def make_pairs(policy: str, members: Sequence[int], atlas_index: int | None) -> Pairs:
    """Pairs of one split by the policy's name.

    Raises:
        ConfigError: If there is no such policy.
    """
    if policy not in POLICIES:
        raise ConfigError(
            f"Unknown pairing {policy!r} in dataset.pairs. Known: {', '.join(POLICIES)}."
        )
    return POLICIES[policy](members, atlas_index)
