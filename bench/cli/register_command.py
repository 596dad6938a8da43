"""`python -m bench register` and `score`: displacement fields for other tools, and from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.config.commands import RUN
from bench.errors import ConfigError
from bench.store.escaping import for_terminal
from bench.store.layout import PAIRS

if TYPE_CHECKING:
    from bench.runs.file_pairs import PairOfFiles
    from bench.runs.registering import Registered

Labels = Annotated[Path | None, typer.Option(help="Label map of the moving image.")]
FixedLabels = Annotated[Path | None, typer.Option(help="Label map of the fixed image.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or auto; default: as the run.")]
Results = Annotated[Path, typer.Option(help="Folder of the results.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Build the run's classes outside the suite; pass it only if the run is yours.",
    ),
]
Weight = Annotated[
    float | None,
    typer.Option(
        help="λ for the network of a run with model.conditioned=lambda; default: as the run."
    ),
]
ACCELERATORS = {"cpu": "cpu", "cuda": "cuda", "gpu": "cuda", "auto": "auto"}


def register(
    run: Annotated[str, typer.Argument(help="Id or folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    moving: Annotated[Path | None, typer.Option(help="The moving image.")] = None,
    fixed: Annotated[Path | None, typer.Option(help="The fixed image.")] = None,
    labels: Labels = None,
    fixed_labels: FixedLabels = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="Points of the fixed image, to map into the moving image.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Table of pairs: columns moving, fixed (, labels, fixed_labels, landmarks)."
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Format of the displacement: ants, learn2reg, voxels.")
    ] = None,
    weight: Weight = None,
    device: Device = None,
    results: Results = Path("results"),
    trust: Trust = False,
) -> None:
    """Register new files with a finished run; needs none of its data."""
    from bench.cli.run_commands import find_run
    from bench.runs.file_pairs import chosen_pairs
    from bench.runs.registering import Registrar

    accelerator = accelerator_of(device)
    pairs = chosen_pairs(csv, moving, fixed, labels, fixed_labels, landmarks)
    folder = find_run(results, run)
    for pair in pairs:
        pair.check()
    registrar = Registrar(folder, accelerator, trust, weight)
    print_each(lambda pair, to: registrar.register(pair, to, format), pairs, out, csv is not None)


def print_each(
    work: Callable[["PairOfFiles", Path], "Registered"],
    pairs: Sequence["PairOfFiles"],
    out: Path,
    apart: bool,
) -> None:
    """Does the work on each pair, and prints the result and what it leaves out.

    Args:
        work: What is done with a pair, and the folder to write to.
        pairs: The pairs.
        out: Folder to write to.
        apart: Whether each pair gets a folder in it.
    """
    for pair in pairs:
        found = work(pair, out / pair.folder if apart else out)
        for line in (found.line, *(f"note: {note}" for note in found.notes)):
            print(for_terminal(line), flush=True)


def accelerator_of(device: str | None) -> str | None:
    """Value of `trainer.accelerator` for a device of the command line; None keeps the run's.

    Raises:
        ConfigError: If there is no such device.
    """
    if device is not None and device not in ACCELERATORS:
        raise ConfigError(f"--device {device}: must be one of {', '.join(ACCELERATORS)}.")
    return None if device is None else ACCELERATORS[device]


def score(
    folder: Annotated[Path, typer.Argument(help="Folder of the displacement fields.")],
    dataset: Annotated[str, typer.Option(help="A data set of conf/dataset/.")],
    name: Annotated[str, typer.Option(help="Name of the tool in tables.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help=f"Settings as for `{RUN}`, such as dataset.root=PATH."),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the tool, for the record.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Score the fields that a tool wrote for a data set's test pairs, and record them as a run."""
    from bench.cli.terminal import print_outcome
    from bench.config.command_line import understood
    from bench.config.composition import compose
    from bench.config.overrides import quoted
    from bench.runs.lookup import run

    chosen = [f"dataset={quoted(dataset)}", "model=fields", f"model.name={quoted(name)}"]
    chosen += [f"results_dir={quoted(str(results))}", f"model.version={quoted(version)}"]
    chosen += [f"model.folder={quoted(str(folder.absolute()))}"]
    outcome = run(compose([*chosen, *understood(overrides or [], sweeps=False)]))
    print_outcome(outcome)
    if outcome.summary is None or outcome.folder.standing().reason:
        return
    doubt = doubt_of(outcome.folder.file(PAIRS))
    if doubt:
        print(f"note: {doubt}")


def doubt_of(pairs: Path) -> str | None:
    """Sign of a wrong direction or unit of fields: Dice, or TRE without it, is worse on all pairs.

    Args:
        pairs: The `pairs.csv` of a run.

    Returns:
        A line; None if a pair got better or stayed as it was, or there are fewer than two.
    """
    from bench.analysis.reading.rows import read_rows
    from bench.scores.registry import score_of

    rows = read_rows(pairs)
    found = next((name for name in ("dice", "tre") if name in rows), None)
    if found is None or len(rows) < 2:
        return None
    score, changes = score_of(found), zip(rows[found], rows[f"{found}_before"], strict=True)
    if not all(score.is_better(before, after) for after, before in changes):
        return None
    changed = "fell" if score.best == "max" else "grew"
    return (
        f"{score.title} {changed} on {len(rows)} of {len(rows)} pairs. Does the field map points "
        "of the fixed image to the moving image, in LPS mm or voxels? See docs/registering.md"
    )
