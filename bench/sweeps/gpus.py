"""Which GPU a process of a local sweep takes."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder per GPU, known without importing torch


def deal_gpu(
    number: int, environment: MutableMapping[str, str] = os.environ, driver: Path = DRIVER
) -> None:
    """Lets this process see one of the GPUs it may use, in turn by the number of its run.

    A process that has imported torch keeps the GPU that it has.

    Args:
        number: Of the run in its sweep, from 0.
        environment: Where the GPUs that may be used are named, and the chosen one is.
        driver: Folder with an entry per GPU.
    """
    if "torch" in sys.modules:
        return
    named = environment.get(VISIBLE)
    if named is not None:
        gpus = [name.strip() for name in named.split(",") if name.strip()]
    else:
        gpus = [str(i) for i in range(len(list(driver.iterdir())))] if driver.is_dir() else []
    if gpus:
        environment[VISIBLE] = gpus[number % len(gpus)]
