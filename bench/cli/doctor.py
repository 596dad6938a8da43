"""`python -m bench doctor`: facts on an installation that an issue report needs."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from bench import __version__
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.groups import IN_WHEEL, options
from bench.data.getting.obtain import is_ready
from bench.data.setup import make_source
from bench.errors import ConfigError, counted
from bench.store.environment import environment
from bench.store.escaping import for_terminal
from bench.store.layout import RUNS
from bench.store.listing import list_folders
from bench.store.weights_and_biases import chosen_mode, has_credentials

GIB = 2**30
DISTRIBUTION = "registration-bench"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)[^;]*(?:;.*extra == [\"'](?P<extra>\w+)[\"'])?")
FOR_DEVELOPERS = ("test", "dev")


def doctor(
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
) -> None:
    """Print versions, device, disk, data sets and W&B mode, for an issue report."""
    for name, line in findings(results):
        print(for_terminal(f"{name + ':':<16}{line}"))


def findings(results: Path) -> Iterator[tuple[str, str]]:
    """Each inspected item with the finding, one line each.

    Args:
        results: Folder of the results; it need not exist, and is not created.
    """
    known = environment()
    origin = f"commit {known['commit'] or 'unknown'}"
    yield "suite", f"{__version__}, {'from a wheel' if IN_WHEEL else origin}"
    yield "python", f"{known['python']}, {platform.platform()}"
    yield from _packages()
    yield "device", _device()
    yield "results", _place(results)
    key = "a key is stored" if has_credentials() else "no key is stored"
    yield "W&B", f"{_mode()}; {key}"
    yield from _datasets()


def _packages() -> Iterator[tuple[str, str]]:
    """Versions of the packages that the suite needs, and of those of its extras."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        yield "packages", f"unknown: {DISTRIBUTION} is not installed (pip install -e .)"
        return
    needed: list[str] = []
    optional: dict[str, list[str]] = {}
    for line in lines:
        found = REQUIREMENT.match(line)
        assert found is not None
        name, extra = found["name"], found["extra"]
        if name == DISTRIBUTION or extra in FOR_DEVELOPERS:
            continue
        if extra:
            optional.setdefault(extra, []).append(name)
        else:
            needed.append(f"{name} {_version(name) or 'MISSING'}")
    yield "packages", ", ".join(needed)
    yield "extras", ", ".join(_extra(name, packages) for name, packages in optional.items())


def _extra(name: str, packages: Sequence[str]) -> str:
    """An extra with the version of its only package, or what it lacks."""
    lacking = [package for package in packages if _version(package) is None]
    if lacking:
        return f"{name} ({', '.join(lacking)} not installed)"
    return f"{name} ({packages[0]} {_version(packages[0])})" if len(packages) == 1 else name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    from bench.training.devices import device_name, network_precision

    settings = Experiment.from_config(compose(["tracker=none"])).settings
    parts = [device_name(settings)]
    if torch.cuda.is_available():
        parts += [f"{torch.cuda.mem_get_info()[1] / GIB:.0f} GiB", f"CUDA {torch.version.cuda}"]
        parts.append(counted(torch.cuda.device_count(), "device"))
    cores = counted(os.cpu_count() or 1, "core")
    threads = counted(torch.get_num_threads(), "thread")
    precision = str(network_precision(settings)).removeprefix("torch.")
    return ", ".join([*parts, cores, threads, f"networks in {precision}"])


def _place(results: Path) -> str:
    """Folder of the results, number of runs in it, and whether it is writable."""
    place = results.absolute()
    there = next(path for path in (place, *place.parents) if path.exists())
    free = f"{shutil.disk_usage(there).free / GIB:.1f} GiB free"
    writable = "writable" if there.is_dir() and os.access(there, os.W_OK) else "NOT WRITABLE"
    runs = counted(len(list_folders(results, RUNS)), "run")
    return f"{place}: {runs}, {free}, {writable}"


def _datasets() -> Iterator[tuple[str, str]]:
    """Which data sets of conf/dataset are complete, and where the suite looks for the others."""
    ready, missing, yours = [], [], []
    for name in options("dataset"):
        experiment = Experiment.from_config(compose([f"dataset={name}", "tracker=none"]))
        section = experiment["dataset"]
        count = is_ready(make_source(experiment))
        if count is not None:
            ready.append(f"{name} ({counted(count, 'subject')})")
        elif section["root"] is None:
            yours.append(name)
        else:
            missing.append(f"{name} (in {section['root']})")
    yield "data ready", ", ".join(ready)
    yield "data missing", ", ".join(missing) or "none"
    yield "your data", f"{', '.join(yours)}: by dataset.root=DIR"


def _mode() -> str:
    """Where Weights & Biases logs if the command line says nothing else."""
    try:
        return f"mode {chosen_mode(compose([]).tracker.mode)}"
    except ConfigError as error:
        return str(error)
