"""`python -m bench changes`: where two new images differ by more than a deformation."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.register_command import Trust, accelerator_of, run_of
from bench.errors import ConfigError
from bench.store.escaping import for_terminal


def changes(
    run: Annotated[str, typer.Argument(help="Id or folder of a finished run.")],
    moving: Annotated[Path, typer.Option(help="The moving image.")],
    fixed: Annotated[Path, typer.Option(help="The fixed image; maps are written on its grid.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or auto; default: as the run.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    trust: Trust = False,
) -> None:
    """Map changes between new files that no deformation explains, with a finished run."""
    from bench.runs.file_pairs import PairOfFiles
    from bench.runs.mapping_changes import ChangeMapper

    accelerator, folder = accelerator_of(device), run_of(run, results)
    for name, path in (("moving", moving), ("fixed", fixed)):
        if not path.exists():
            raise ConfigError(f"--{name} {path}: no such file.")
    mapped = ChangeMapper(folder, accelerator, trust).map(PairOfFiles(moving, fixed), out)
    for line in (mapped.line, *(f"note: {note}" for note in mapped.notes)):
        print(for_terminal(line))
