"""Images whose order is there by nature: sections of a stack, visits of a person, contrasts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.data.batches.loading import read_images
from bench.data.cache.prepared import PreparedDataset
from bench.data.preprocessing.label_table import few
from bench.data.sources.csv_table import read_table
from bench.data.sources.pairs import evenly_spaced
from bench.data.sources.roles import FIXED, MOVING
from bench.errors import DataError
from bench.pair import Pair
from bench.tasks.perception.series import REPEATS, Series

SECTIONS, PERSONS, CONTRASTS = "sections", "persons", "contrasts"
NATURAL = (SECTIONS, PERSONS, CONTRASTS)
UNTRAINED = ("val", "test")  # splits that no extractor learns on


@dataclass(frozen=True)
class Nature:
    """What a data set knows of which of its images are like each other.

    Args:
        dataset: The data set.
        apart: How many sections or frames apart, rising; empty for none.
        person_of: By subject, the person; None if not known.
        device: Where pairs are put.
    """

    dataset: PreparedDataset
    apart: Sequence[int]
    person_of: Mapping[str, str] | None
    device: torch.device

    def visited(self) -> list[int]:
        """Subjects of persons with several visits among those that no extractor learns on."""
        return [member for member in self._pool() if self._of_one_person(member)]

    def series(self, member: int) -> Iterator[Series]:
        """The series that there are of a test subject."""
        yield from self.sections(member)
        yield from self.persons(member)
        yield from self.contrasts(member)

    def sections(self, member: int) -> Iterator[Series]:
        """Sections or frames of the same series that are farther and farther apart.

        Those behind the subject's, or before it where the series has ended.
        """
        stack, place = self.dataset.index["places"][member]
        if stack is None or place is None:
            return
        at = {}
        for other in self.dataset.members("test"):
            name, number = self.dataset.index["places"][other]
            if name == stack:
                at[number] = other
        found = {gap: at.get(place + gap, at.get(place - gap)) for gap in self.apart}
        known = {gap: other for gap, other in found.items() if other is not None}
        if len(known) > 1:
            yield self._series(SECTIONS, member, list(known.values()), list(known))

    def persons(self, member: int) -> Iterator[Series]:
        """Other visits of the same person, and visits of others."""
        repeats = self._of_one_person(member)
        if repeats:
            others = [i for i in self._pool() if i != member and i not in repeats]
            order = [0] * len(repeats) + [1] * len(others)
            yield self._series(PERSONS, member, [*repeats, *others], order)

    def contrasts(self, member: int) -> Iterator[Series]:
        """The same anatomy as moving images show it, and others as fixed images show them."""
        roles = self.dataset.roles
        others = [other for other in self.dataset.members("test") if other != member]
        if roles is None or roles[MOVING] == roles[FIXED] or not others:
            return
        chosen = evenly_spaced(others, REPEATS)
        order, shown = [0, *[1] * len(chosen)], [MOVING, *[FIXED] * len(chosen)]
        yield self._series(CONTRASTS, member, [member, *chosen], order, shown)

    def _pool(self) -> list[int]:
        if self.person_of is None:
            return []
        listed = [i for split in UNTRAINED for i in self.dataset.members(split)]
        return [i for i in listed if self.dataset.ids[i] in self.person_of]

    def _of_one_person(self, member: int) -> list[int]:
        """Further visits of the person of a subject."""
        ids, persons = self.dataset.ids, self.person_of or {}
        person = persons.get(ids[member])
        return [i for i in self._pool() if i != member and persons[ids[i]] == person]

    def _series(
        self,
        test: str,
        member: int,
        others: Sequence[int],
        order: Sequence[float],
        roles: Sequence[str] = (),
    ) -> Series:
        shape = self.dataset.common_shape([member, *others])
        read = [
            read_images(self.dataset, [i], self.device, role, shape)
            for i, role in zip(others, roles or [FIXED] * len(others), strict=True)
        ]
        fixed = read_images(self.dataset, [member], self.device, FIXED, shape)
        pairs = [Pair(image, fixed) for image in read]
        return Series(test, "", order, [float(place) for place in order], pairs)


def read_persons(path: Path, dataset: PreparedDataset) -> dict[str, str]:
    """The person of each subject.

    Args:
        path: A CSV table with the columns subject_id and person_id.
        dataset: Whose subjects it lists; it may list others, too.

    Raises:
        DataError: If it cannot be read, lists none of the subjects, gives one two persons, or
            among the validation and test subjects no person two visits, or all one person.
    """
    if path.is_dir():
        raise DataError(
            f"task.persons={path}: is a folder. Name a CSV with the columns subject_id, person_id."
        )
    if not path.is_file():
        raise DataError(
            f"task.persons={path}: no such file. Write a CSV with the columns subject_id, "
            "person_id there; its path is relative to dataset.root."
        )
    found: dict[str, str] = {}
    for row in read_table(path, ("subject_id", "person_id")):
        subject, person = row["subject_id"], row["person_id"]
        if not subject or not person:
            raise DataError(f"{path}: line {row.line} lacks a subject_id or person_id. Fill it in.")
        if found.setdefault(subject, person) != person:
            raise DataError(
                f"{path}: line {row.line}: {subject} is of {found[subject]} and of {person}. "
                "Give each subject one person."
            )
    if not set(found) & set(dataset.ids):
        raise DataError(
            f"{path}: lists no subject of dataset {dataset.name}, but {few(list(found), 3)}. Its "
            f"subjects are {few(dataset.ids, 3)}."
        )
    if not Nature(dataset, (), found, torch.device("cpu")).visited():
        raise DataError(
            f"{path}: no person has two visits among the validation and test subjects of dataset "
            f"{dataset.name}, which no extractor learns on. Move some there, or leave "
            "task.persons out."
        )
    pool = [i for split in UNTRAINED for i in dataset.members(split) if dataset.ids[i] in found]
    if len({found[dataset.ids[i]] for i in pool}) < 2:
        raise DataError(
            f"{path}: all validation and test subjects of dataset {dataset.name} that it lists are "
            "of one person, so nobody is another. List visits of other persons, or leave "
            "task.persons out."
        )
    return found
