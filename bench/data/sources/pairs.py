"""Pairing policies, which choose the pairs of subjects.

A policy turns the subjects of one split into (moving, fixed) pairs of their indices. All are
deterministic; which pair a training step sees is drawn in `bench.data.batches.loading`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.data.sources.subject import Subject
from bench.errors import ConfigError, DataError

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Members:
    """The subjects of one split.

    Attributes:
        indices: Their positions in the data set, in its order.
        atlas: Position of the atlas, if there is one.
        places: Series and place of each, for stacks and sequences; by default they follow each
            other in one series.
        given: The pairs that the data set itself lists for this split.
    """

    indices: Sequence[int]
    atlas: int | None = None
    places: Sequence[tuple[str | None, int]] | None = None
    given: Sequence[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Atlas:
    """Every subject (moving) to the atlas (fixed)."""

    def __call__(self, members: Members) -> Pairs:
        if members.atlas is None:
            raise DataError(
                "pairing 'atlas' needs a subject with split 'atlas'; the data set has none. Add "
                "one, or choose another policy in dataset.pairs."
            )
        return [(moving, members.atlas) for moving in members.indices]


@dataclass(frozen=True)
class Cross:
    """Every subject to every other."""

    def __call__(self, members: Members) -> Pairs:
        return [(i, j) for i in members.indices for j in members.indices if i != j]


@dataclass(frozen=True)
class Mirrored:
    """Subject i to subject n-1-i; the middle one of an odd number is left out."""

    def __call__(self, members: Members) -> Pairs:
        ends = zip(members.indices, reversed(members.indices), strict=True)
        return [(moving, fixed) for moving, fixed in ends if moving != fixed]


@dataclass(frozen=True)
class Neighbours:
    """Every slice, frame or subject to every other one at most `within` places away."""

    within: int = 1

    def __post_init__(self) -> None:
        if not is_count(self.within):
            raise ConfigError(
                f"dataset.pairs: within={quoted(self.within)}: must be a whole number of at least "
                "1."
            )

    def __call__(self, members: Members) -> Pairs:
        steps = [step for step in range(-self.within, self.within + 1) if step]
        return _steps_away(members, steps)


@dataclass(frozen=True)
class Next:
    """Every slice, frame or subject to the one after it."""

    def __call__(self, members: Members) -> Pairs:
        return _steps_away(members, [1])


@dataclass(frozen=True)
class Given:
    """The pairs that the data set lists."""

    def __call__(self, members: Members) -> Pairs:
        if members.given is None:
            raise DataError(
                "pairing 'given' needs a table with the columns moving and fixed; the data set has "
                "none. Choose another policy in dataset.pairs."
            )
        return list(members.given)


@dataclass(frozen=True)
class Some:
    """At most `most` of the pairs of a policy, evenly spaced over them."""

    policy: Callable[[Members], Pairs]
    most: int

    def __post_init__(self) -> None:
        if not is_count(self.most):
            raise ConfigError(
                f"dataset.pairs: most={quoted(self.most)}: must be a whole number of at least 1."
            )

    def __call__(self, members: Members) -> Pairs:
        return evenly_spaced(self.policy(members), self.most)


MIRRORED = "mirrored"
POLICIES: dict[str, Callable[..., Callable[[Members], Pairs]]] = {
    "atlas": Atlas,
    "cross": Cross,
    MIRRORED: Mirrored,
    "neighbours": Neighbours,
    "next": Next,
    "given": Given,
}


def make_policy(
    section: str | Mapping[str, Any], given: bool = False
) -> Callable[[Members], Pairs]:
    """A policy from its name, or from `{policy: name, option: value}`; `most` goes with all.

    Args:
        section: Name or mapping.
        given: Whether the data set itself lists its pairs, which then are taken whatever the name.

    Raises:
        ConfigError: If there is no such policy, or it has no such option.
    """
    options = dict(section) if isinstance(section, Mapping) else {"policy": section}
    if "most" in options:
        most: Any = options.pop("most")
        return Some(make_policy(options, given), most)
    if given:
        return Given()
    if "policy" not in options:
        raise ConfigError(
            f"dataset.pairs: {quoted(section)} names no policy. Known: {', '.join(POLICIES)}."
        )
    name = options.pop("policy")
    if not isinstance(name, str) or name not in POLICIES:
        raise ConfigError(
            f"dataset.pairs: unknown policy {quoted(name)}. Known: {', '.join(POLICIES)}."
        )
    kind = POLICIES[name]
    unknown = [quoted(option) for option in options if option not in signature(kind).parameters]
    if unknown:
        raise ConfigError(
            f"dataset.pairs: {name} does not take {', '.join(unknown)}. Every policy takes most; "
            "neighbours also takes within."
        )
    return kind(**options)


def _steps_away(members: Members, steps: Sequence[int]) -> Pairs:
    places = members.places or [(None, i) for i in range(len(members.indices))]
    at = dict(zip(places, members.indices, strict=True))
    return [
        (moving, at[series, place + step])
        for (series, place), moving in at.items()
        for step in steps
        if (series, place + step) in at
    ]


def evenly_spaced(items: Sequence, most: int | None) -> list:
    """At most `most` items, evenly spaced over the sequence; all of them for None."""
    if most is None or most >= len(items):
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


def index_pairs(
    given: Mapping[str, Sequence[tuple[str, str]]], subjects: Sequence[Subject]
) -> dict[str, Pairs]:
    """Pairs of ids as pairs of positions among the subjects."""
    places = {subject.id: i for i, subject in enumerate(subjects)}
    return {
        split: [(places[moving], places[fixed]) for moving, fixed in pairs]
        for split, pairs in given.items()
    }
