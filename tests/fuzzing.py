"""Checks of readers on what nobody thought of, the same each time."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from bench.cli.messages import explain
from bench.errors import BenchError

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # else in the repository

efforts = pytest.mark.parametrize(
    "effort", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)


def explore(check: Callable[..., None], examples: int, **drawn: st.SearchStrategy[Any]) -> None:
    """Calls a check with drawn arguments; raises what the smallest failing ones raise."""
    every = settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    every(given(**drawn)(check))()


def reading(read: Callable[..., Any], *arguments: Any) -> Any:
    """What a reader gives; None if it refuses in one line. Any other error is a fault."""
    try:
        return read(*arguments)
    except BenchError as error:
        line = explain(error)
        assert line.strip()
        assert "\n" not in line
        return None


def altered(content: bytes, places: int | None = None) -> st.SearchStrategy[bytes]:
    """Copies of a file with some bytes replaced among the first `places`, or cut short."""
    last = (places or len(content)) - 1
    change = st.tuples(st.integers(0, last), st.integers(0, 255))
    cut = st.one_of(st.none(), st.integers(0, len(content)))

    def apply(changes: list[tuple[int, int]], end: int | None) -> bytes:
        copy = bytearray(content)
        for place, value in changes:
            copy[place] = value
        return bytes(copy[:end])

    return st.builds(apply, st.lists(change, max_size=4), cut)
