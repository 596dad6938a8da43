"""`python -m bench changes`: where two new images differ by more than a deformation."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.register_command import (
    Device,
    FixedLabels,
    Labels,
    Results,
    Trust,
    accelerator_of,
    print_each,
)


def changes(
    run: Annotated[str, typer.Argument(help="Id or folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    moving: Annotated[Path | None, typer.Option(help="The moving image.")] = None,
    fixed: Annotated[
        Path | None, typer.Option(help="The fixed image; maps are written on its grid.")
    ] = None,
    labels: Labels = None,
    fixed_labels: FixedLabels = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Table of pairs: columns moving, fixed (, labels, fixed_labels)."),
    ] = None,
    device: Device = None,
    results: Results = Path("results"),
    trust: Trust = False,
) -> None:
    """Map changes between new files that no deformation explains, with a finished run."""
    from bench.cli.run_commands import find_run
    from bench.runs.file_pairs import chosen_pairs
    from bench.runs.mapping_changes import ChangeMapper

    accelerator = accelerator_of(device)
    pairs = chosen_pairs(csv, moving, fixed, labels, fixed_labels)
    folder = find_run(results, run)
    for pair in pairs:
        pair.check()
    mapper = ChangeMapper(folder, accelerator, trust)
    print_each(mapper.map, pairs, out, csv is not None)
