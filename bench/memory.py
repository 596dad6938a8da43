"""The most memory that is in use at a time: of a GPU, or of the process."""

import sys
from pathlib import Path

import torch


def reset_peak(device: torch.device) -> None:
    """Starts measuring anew, where that is possible: on CUDA devices and under Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not allowed in some containers: the peak is then the process's so far
            return


def peak(device: torch.device) -> int:
    """Bytes: allocated on a CUDA device, or else resident in memory, of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
