"""Processes that score labels beside the main one."""

import math
import os
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from bench.models.method import Objective
from bench.scores import workers as module
from bench.scores.workers import ENOUGH, Immediately, workers
from bench.similarity import MSE
from bench.tasks.registration.testing import score_pairs


class Still:
    """Moves everything by half a voxel."""

    def register(self, pair, objective):
        return torch.full_like(pair.u, 0.5)


def scored(dataset):
    """All but the seconds."""
    objective = Objective(MSE(), None, 0.0)
    cases = list(score_pairs(Still(), objective, dataset, torch.device("cpu")))
    for case in cases:
        assert case.scores["similarity"] > 0
        assert not math.isnan(case.scores["hd95"])
        for row in (case.scores, *case.rows["pairs.csv"]):
            del row["seconds"]
    return cases


def test_processes_give_the_scores_of_one(tiny_datasets, monkeypatch):
    alone = scored(tiny_datasets[3])
    asked = []

    def two(work):
        asked.append(work)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
        monkeypatch.setattr(module, "ENOUGH", 0)
        pool = workers(work)
        assert isinstance(pool, ProcessPoolExecutor)
        return pool

    monkeypatch.setattr("bench.tasks.registration.testing.workers", two)
    assert repr(scored(tiny_datasets[3])) == repr(alone)  # NaN equals itself in writing
    dataset = tiny_datasets[3]
    assert asked == [
        math.prod(dataset.shape) * len(dataset.class_names) * len(dataset.pairs("test"))
    ]


@pytest.mark.parametrize(("cores", "work"), [({0}, ENOUGH), ({0, 1}, ENOUGH - 1)])
def test_little_work_or_one_core_takes_no_processes(cores, work, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores, raising=False)
    with workers(work) as pool:
        assert isinstance(pool, Immediately)
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
