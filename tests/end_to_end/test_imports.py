"""What the end of a run imports is there before its training begins."""

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import DEMO, ROOT, at

SCRIPT = """
import json, runpy, sys
import bench.runs.execution as execution
fit, before = execution.fit, set()
def watched(*arguments):
    fitted = fit(*arguments)
    before.update(sys.modules)
    return fitted
execution.fit = watched
sys.argv = ["run.py", *sys.argv[1:]]
runpy.run_path("run.py", run_name="__main__")
widths = "rich._unicode_data."  # of characters, which rich reads by what it prints
print(json.dumps(sorted(n for n in set(sys.modules) - before if not n.startswith(widths))))
"""


def test_nothing_is_imported_after_the_training(results: Path) -> None:
    """A package that is missing or broken is told before hours of training, not after them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "metric=mse", *DEMO, at(results)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    later = json.loads(done.stdout.splitlines()[-1])
    ours = [name for name in later if name.startswith("bench.")]
    others = {name.partition(".")[0] for name in later} - set(sys.stdlib_module_names)
    assert (ours, others - {"bench"}) == ([], set()), " ".join(later)
