"""What scripts/gpu_check.sh refuses before it does anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu_check.sh"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not there")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PARTS": " "}, "PARTS is empty. Name some of tests benchmarks"),
        ({"PARTS": "tests race"}, "PARTS=tests race: race is none of tests benchmarks"),
        (
            {"SETS": "ms_longitudinal"},
            "SETS=ms_longitudinal: ms_longitudinal is none of hippocampus",
        ),
        ({"SETS": "brain_slab"}, "has no folder brain_slab."),
        ({"STEPS": "abc"}, "STEPS=abc: must be a whole number of at least 1."),
        ({"JOBS": "0"}, "JOBS=0: must be a whole number of at least 1."),
        ({"DATA": "gone"}, "gone: has no folder hippocampus. Name the one that holds it."),
    ],
)
def test_bad_settings_are_refused_first(settings, words, tmp_path):
    data = tmp_path / settings.pop("DATA", "data")
    (tmp_path / "data" / "hippocampus").mkdir(parents=True)
    out = tmp_path / "out"
    done = subprocess.run(
        ["bash", str(SCRIPT), str(data), str(out)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()
