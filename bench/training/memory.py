"""Memory of a GPU or of the process: the most that is in use at a time, and keeping it."""

import ctypes
import sys
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's mallopt
NEVER = -1
GROWTH = 64 << 20


def keep_freed_memory() -> None:
    """Lets the process keep what it frees; under glibc, elsewhere nothing changes.

    By default large blocks go back to the system at once, which clears new ones in each step of
    a training: a sixth of its time.
    """
    if glibc := _glibc():
        glibc.mallopt(M_MMAP_MAX, 0)
        glibc.mallopt(M_TRIM_THRESHOLD, NEVER)
        glibc.mallopt(M_TOP_PAD, GROWTH)


def _glibc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libc.so.6") if sys.platform == "linux" else None
    except OSError:
        return None


def reset_peak(device: torch.device) -> None:
    """Starts measuring anew, where that is possible: on CUDA devices and under Linux.

    What has been freed and kept is given back.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        if glibc := _glibc():
            glibc.malloc_trim(0)
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not allowed in some containers: the peak is then the process's so far
            return


def peak(device: torch.device) -> int | None:
    """Bytes: allocated on a CUDA device, or else resident in memory, of this process.

    None where the system does not tell (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
