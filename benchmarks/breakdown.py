"""Where a training step's time goes, by kind of operation, in the cases of benchmarks/train.py."""

import re
import tempfile
from collections import Counter
from pathlib import Path

from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from train import cases, make_case, settle

KINDS = {  # the first pattern that an operation's name contains
    "convolution, backward": r"conv.*backward",
    "convolution": r"conv",
    "upsampling": r"upsample",
    "activations": r"relu",
    "warping": r"grid_sampl",
    "copies": r"copy|clone|aten::cat|aten::pad|constant_pad",
    "optimizer": r"adam|foreach|_norm",
}
REST = "rest"


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Shares of the time of `repeats` steps, for the cases whose names contain `chosen`."""
    rows = [
        {"case": case.name, "shares": shares(case, device, repeats)}
        for case in cases(device, chosen)
    ]
    return {"what": "where a training step's time goes", "rows": rows}


def shares(case, device: str, steps: int) -> dict[str, float]:
    """Share of each kind of operation in the time that operations take by themselves."""
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with tempfile.TemporaryDirectory() as folder:
        step = make_case(case, device, Path(folder))[0]["ours"]
        settle(step)
        with profile(activities=activities) as profiler:
            for _ in range(steps):
                step()
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        if event.device_type == DeviceType.CPU:
            time = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
            spent[kind(event.key)] += time
    return {name: spent[name] / spent.total() for name in (*KINDS, REST)}


def kind(operation: str) -> str:
    """The kind of an operation of that name."""
    found = (name for name, pattern in KINDS.items() if re.search(pattern, operation.lower()))
    return next(found, REST)


def table(title: str, result: dict) -> Table:
    """A row for each case."""
    made = Table(title=title)
    made.add_column("case", no_wrap=True)
    for name in (*KINDS, REST):
        made.add_column(name, justify="right")
    for row in result["rows"]:
        made.add_row(row["case"], *(f"{row['shares'][name]:.1%}" for name in (*KINDS, REST)))
    return made
