"""`python -m bench data`: list, prepare, check and preview data sets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.config.command_line import understood
from bench.config.commands import BENCH, RUN
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.groups import headline, option_files, options, readme
from bench.config.overrides import quoted
from bench.data.getting.obtain import is_ready, obtain
from bench.data.setup import make_source
from bench.errors import BenchError, ConfigError, DataError, counted
from bench.store.escaping import for_rich

app = typer.Typer(no_args_is_help=True, help="List, prepare, check and preview data sets.")

Name = Annotated[
    str,
    typer.Argument(
        help="A data set of conf/dataset/.", autocompletion=lambda: list(options("dataset"))
    ),
]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        help="A data set of conf/dataset/.", autocompletion=lambda: list(options("dataset"))
    ),
]
Root = Annotated[
    Path | None, typer.Option("--root", help="Folder of the data set; the same as dataset.root.")
]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help=f"Settings as for `{RUN}`, such as dataset.shape=[64,64,64]."),
]


@app.command("list")
def list_datasets() -> None:
    """List data sets: size, licence, folder; which are ready, and how to get the others."""
    from rich.console import Console

    console = Console(highlight=False)
    for path in option_files("dataset"):
        name = path.stem
        experiment = _experiment(name, None, Path("results"), None)
        section = experiment["dataset"]
        about = section.get("about", {})
        try:
            count = is_ready(make_source(experiment))
        except BenchError as error:  # of a class of the user's
            console.print(f"[bold]{name:<16}[/]{for_rich(f'unusable: {error}')}", soft_wrap=True)
            continue
        if count is not None:
            state = f"[bold]ready, {counted(count, 'subject')}[/]"
        elif section.get("root") is None:
            state = f"your files; `{BENCH} data check {name} --root DIR` checks them"
        elif about.get("url"):
            state = f"missing; `{BENCH} data prepare {name}` downloads it"
        else:
            state = f"missing; `{BENCH} data prepare {name}` says how to get it"
        facts = [str(about.get("size", "unknown size")), f"licence: {about.get('licence', '')}"]
        if "root" in section:
            facts = [f"in {section['root']}", *facts] if section["root"] else []
        if (described := readme(name)).is_file():
            facts.append(f"see {described}")
        console.print(f"[bold]{name:<16}[/]{state}", soft_wrap=True)
        for line in filter(None, (headline(path), "; ".join(facts))):
            console.print(f"{'':<16}{for_rich(line)}", soft_wrap=True)


@app.command()
def prepare(
    name: OptionalName = None,
    overrides: Overrides = None,
    archive: Annotated[
        Path | None, typer.Option("--archive", help="Archive that you downloaded by hand.")
    ] = None,
    clone: Annotated[
        Path | None,
        typer.Option("--clone", help="Clone of the repository that the data set is made from."),
    ] = None,
    root: Root = None,
    all_free: Annotated[
        bool,
        typer.Option("--all-free", help="Every data set that can be downloaded without a click."),
    ] = False,
) -> None:
    """Download a data set, or unpack an archive or a clone; check it and put it in place."""
    if all_free:
        if name or archive or clone or root:
            raise ConfigError(
                "--all-free: prepares each data set by its YAML. Give no other argument."
            )
        _prepare_all_free()
    elif name is None:
        raise ConfigError(f"Name a data set of `{BENCH} data list`, or pass --all-free.")
    else:
        _prepare(name, _experiment(name, root, Path("results"), overrides), archive, clone)


def _prepare_all_free() -> None:
    """Gets the data sets that have an address, one after the other; names the others.

    Raises:
        DataError: If one of them could not be got.
    """
    known = {
        path.stem: _experiment(path.stem, None, Path("results"), None)
        for path in option_files("dataset")
    }
    free = {name: it for name, it in known.items() if it["dataset"].get("about", {}).get("url")}
    failed = []
    for name, experiment in free.items():
        facts = experiment["dataset"]["about"]
        print(f"{name}: {facts['size']}, licence: {facts['licence']}", flush=True)
        try:
            _prepare(name, experiment, None, None)
        except BenchError as error:
            print(f"failed: {name}: {error}", file=sys.stderr)
            failed.append(name)
    by_hand = [name for name in known if known[name]["dataset"].get("about", {}).get("manual")]
    print(f"by hand, as `data prepare NAME` explains: {', '.join(by_hand)}")
    if failed:
        raise DataError(
            f"{len(failed)} of {counted(len(free), 'data set')} not prepared: {', '.join(failed)}. "
            "Run the same command to try again; it resumes interrupted downloads."
        )


def _prepare(name: str, experiment: Experiment, archive: Path | None, clone: Path | None) -> None:
    """Gets one data set, and says so."""
    source = make_source(experiment)
    if "root" not in experiment["dataset"]:
        print(f"{name} is embedded; nothing to prepare")
        return
    before = is_ready(source)
    count = obtain(source, experiment["dataset"].get("about", {}), archive, clone)
    how = "was already prepared" if before is not None else "is ready"
    print(f"{name} {how}: {counted(count, 'subject')} in {source.root}")


@app.command()
def check(
    name: Name,
    overrides: Overrides = None,
    root: Root = None,
    results: Results = Path("results"),
) -> None:
    """Open every file, print contents and faults, and draw a contact sheet."""
    from bench.analysis.plots.dataset import draw_sheet
    from bench.cli.terminal import print_check
    from bench.data.check import check as check_source

    experiment = _experiment(name, root, results, overrides)
    source = make_source(experiment)
    report = check_source(source, _window(experiment))
    print_check(report)
    if any(split.shown for split in report.splits.values()):
        sheet = experiment.results / "data" / f"{source.name}-check.png"
        draw_sheet(sheet, report)
        print(f"figure: {sheet}")
    if report.faults:
        raise DataError(
            f"dataset {source.name} cannot be used: {len(report.faults)} "
            f"{'fault' if len(report.faults) == 1 else 'faults'}, the first: {report.faults[0]}"
        )
    print(f"dataset {source.name} can be used")


@app.command()
def preview(
    name: Name,
    overrides: Overrides = None,
    root: Root = None,
    results: Results = Path("results"),
    count: Annotated[int, typer.Option("--count", min=1, help="Number of pairs.")] = 6,
) -> None:
    """Draw training pairs as training sees them, after augmentation."""
    import torch

    from bench.analysis.plots.dataset import draw_pairs
    from bench.data.batches.augmentation import Augmentation
    from bench.data.batches.loading import TrainingPairs
    from bench.data.cache.preparing import prepare as open_dataset

    experiment = _experiment(name, root, results, overrides)
    dataset = open_dataset(make_source(experiment), experiment.cache)
    augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
    training = TrainingPairs(dataset, augmentation, experiment.seed)
    batch = training.batch(range(count), torch.device("cpu"))
    labels = batch.segmentations if batch.has_labels else None
    pairs = []
    for i in range(count):
        members = training.pairs[training.sampler[i]]
        pair = []
        for role, (what, images) in enumerate((("moving", batch.moving), ("fixed", batch.fixed))):
            label_map = labels[role][i, 0].numpy() if labels else None
            pair.append((f"{what} {dataset.ids[members[role]]}", images[i].numpy(), label_map))
        pairs.append((pair[0], pair[1]))
    path = experiment.results / "data" / f"{dataset.name}-preview.png"
    draw_pairs(path, pairs, f"{dataset.name}: training pairs after augmentation")
    print(f"figure: {path}")


def _window(experiment: Experiment) -> int | None:
    """The edge of NCC's window under the given settings; None for the whole image or no NCC."""
    metric = experiment["metric"]
    window = metric.get("window") if metric["name"] == "ncc" else None
    return window if isinstance(window, int) else None


def _experiment(
    name: str, root: Path | None, results: Path, overrides: list[str] | None
) -> Experiment:
    given = [f"dataset={quoted(name)}", f"results_dir={quoted(str(results))}", "tracker=none"]
    if root is not None:
        given.append(f"dataset.root={quoted(str(root))}")
    return Experiment.from_config(compose([*given, *understood(overrides or [], sweeps=False)]))
