"""What a task is to everything that runs, stores and reports it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.data.setup import Setup
from bench.similarity.building import Learner
from bench.training.trainee import Trainable

Row = dict[str, Any]


@dataclass(frozen=True)
class TestCase:
    """What the test of one case gives, of what JSON can hold.

    Attributes:
        rows: Rows by the name of the table; the first table has one row per case.
        scores: Scores of the case by name.
        before: Scores of doing nothing, of the same names; empty if that has no meaning.
    """

    __test__ = False  # no test of pytest's

    rows: Mapping[str, Sequence[Row]]
    scores: Mapping[str, float]
    before: Mapping[str, float] = field(default_factory=dict)


class Job(Protocol):
    """The work of one run, built and tried out before anything is written.

    Attributes:
        name: What is done, for messages.
        learners: Extractors that must be trained or read from the store first.
        trainable: What is trained; None if nothing is.
        seed: Determines what is random in the training.
        facts: What the summary says besides, such as the names of classes.
    """

    name: str
    learners: Sequence[Learner]
    trainable: Trainable | None
    seed: int
    facts: Mapping[str, Any]

    def make_ready(self, best: Path) -> None:
        """Prepares for validation and test, extractors being there.

        Args:
            best: The checkpoint of what was trained.
        """

    def counts(self) -> Mapping[str, int]:
        """Numbers of cases that `validate` and `test` have, by `validation` and `test`."""

    def validate(self, known: Sequence[Row]) -> Iterator[Row]:
        """Scores validation cases of what no training validates, a row for each.

        Args:
            known: Rows of an earlier start of the run; not computed again.
        """

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Tests case by case.

        Args:
            known: Cases of an earlier start, which are left out.
        """

    def over_cases(self, cases: Sequence[TestCase]) -> Mapping[str, Mapping[str, Any]]:
        """Scores of all test cases together, as summaries have them; empty if there are none."""

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the figure of the run."""


class Task(Protocol):
    """What a run trains and tests; the section `task` names the class by `_target_`.

    Attributes:
        tables: Names of the CSV files that it writes; the first has a row per test case.
    """

    tables: Sequence[str]

    def assemble(self, setup: Setup) -> Job:
        """Builds and tries out the work of a run; writes nothing.

        Raises:
            Unsupported: If the parts of the experiment do not go together.
            ConfigError: If one of them cannot be built, or does not return what it should.
        """
