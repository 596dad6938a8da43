"""The environment of a run, for its record."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "lightning-fabric", "numpy", "torchio", "nibabel", "monai", "nilearn")


def environment(device: str | None = None) -> dict[str, Any]:
    """Versions, git commit, device, and the threads of torch, on which the last bits depend.

    Args:
        device: Name of the device that is trained on.
    """
    import torch  # which `python -m bench runs` does without

    return {
        "bench": _version("registration-bench"),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.system(),
        "device": device,
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the suite, with `+` if files differ from it; None if git does not track it."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # a wheel may lie in another repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
