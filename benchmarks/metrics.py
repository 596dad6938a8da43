"""The costly parts beside the straightforward way to compute them, and MONAI's."""

import statistics

from cases import cases
from measure import in_fresh_process, peak_bytes, seconds
from rich.table import Table

OTHERS = ("straightforward", "MONAI")


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Seconds and bytes of each way of the cases whose names contain `chosen`."""
    rows = [
        {
            "case": name,
            "seconds": seconds(make(), repeats, device),
            "bytes": in_fresh_process(memory, name, device),
        }
        for name, make in cases(device)
        if chosen in name
    ]
    return {"what": "forward and backward", "rows": rows}


def memory(case: str, device: str) -> dict[str, int]:
    """Peak memory of each way of a case."""
    return {name: peak_bytes(act, device) for name, act in dict(cases(device))[case]().items()}


def table(title: str, result: dict) -> Table:
    """Our figures, and the others' as multiples; of several straightforward ways the best."""
    made = Table(title=title)
    for heading in ("case", "ms", *(f"{o}, times" for o in OTHERS)):
        made.add_column(heading, justify="left" if heading == "case" else "right")
    for heading in ("MB", *(f"{o}, times" for o in OTHERS)):
        made.add_column(heading, justify="right")
    for row in result["rows"]:
        cells = [row["case"]]
        medians = {name: statistics.median(times) for name, times in row["seconds"].items()}
        for measured, scale in ((medians, 1e3), (row["bytes"], 1e-6)):
            ours = measured["ours"]
            cells.append(f"{ours * scale:.1f}")
            cells += [_ratio(measured, other) for other in OTHERS]
        made.add_row(*cells)
    return made


def _ratio(measured: dict[str, float], other: str) -> str:
    found = [figure for name, figure in measured.items() if name.startswith(other)]
    if not found:
        return ""
    ratio = min(found) / max(measured["ours"], 1e-9)
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"
