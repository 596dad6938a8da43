"""A sweep that is killed and damaged again and again ends as if it had not been."""

from pathlib import Path

import pytest

from .soak import RUNS, soak


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sweep_killed_and_damaged_thirty_times_ends_with_every_run_once_and_the_same_numbers(
    tmp_path: Path,
) -> None:
    outcome = soak(tmp_path, kills=30, damages=30, seed=0, steps=100, longest=12)
    assert outcome.kills >= 30
    assert sum(outcome.damages.values()) == 30
    assert outcome.finished == RUNS
    assert outcome.different == []
    assert outcome.unnoticed == []
    assert outcome.rest == []
