"""Measures the costly parts beside the straightforward way to compute them, and MONAI's.

    python benchmarks/run.py [--device cpu|cuda] [--filter NAME] [--repeats N] [--json FILE]

Each case runs all ways in turn, forward and backward; the table gives our median time and peak
memory, and how many times as much the others take. Compare times within one table only.
"""

import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from cases import cases
from measure import in_fresh_process, parse_arguments, peak_bytes, seconds
from rich.console import Console
from rich.table import Table

OTHERS = ("straightforward", "MONAI")


def main() -> None:
    """Prints the table."""
    arguments = parse_arguments(__doc__)
    device = arguments.device
    rows = [
        {
            "case": name,
            "seconds": seconds(make(), arguments.repeats, device),
            "bytes": in_fresh_process(memory, name, device),
        }
        for name, make in cases(device)
        if arguments.filter in name
    ]
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores"
    title = f"forward and backward, {where}, torch {torch.__version__}"
    if arguments.json:
        arguments.json.write_text(json.dumps({"title": title, "rows": rows}, indent=1))
    Console(width=120).print(_table(title, rows))


def memory(case: str, device: str) -> dict[str, int]:
    """Peak memory of each way of a case."""
    return {name: peak_bytes(act, device) for name, act in dict(cases(device))[case]().items()}


def _table(title: str, rows: list[dict]) -> Table:
    table = Table(title=title)
    for heading in ("case", "ms", *(f"{o}, times" for o in OTHERS)):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for heading in ("MB", *(f"{o}, times" for o in OTHERS)):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [row["case"]]
        medians = {name: statistics.median(own) for name, own in row["seconds"].items()}
        for measured, scale in ((medians, 1e3), (row["bytes"], 1e-6)):
            ours = measured["ours"]
            cells.append(f"{ours * scale:.1f}")
            cells += [_ratio(measured, other) for other in OTHERS]
        table.add_row(*cells)
    return table


def _ratio(measured: dict[str, float], other: str) -> str:
    if other not in measured:
        return ""
    ratio = measured[other] / max(measured["ours"], 1e-9)
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


if __name__ == "__main__":
    main()
