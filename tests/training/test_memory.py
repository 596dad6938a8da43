"""Peak memory of the process."""

import sys

import pytest
import torch

from bench.training.memory import peak, reset_peak

CPU = torch.device("cpu")


def test_peak_counts_what_was_in_use_at_a_time():
    reset_peak(CPU)
    before = peak(CPU)
    block = torch.ones(50_000_000)
    del block
    assert peak(CPU) - before > 150e6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can start the peak anew")
def test_reset_forgets_what_is_no_longer_in_use():
    block = torch.ones(50_000_000)
    before = peak(CPU)
    del block
    reset_peak(CPU)
    assert before - peak(CPU) > 150e6
