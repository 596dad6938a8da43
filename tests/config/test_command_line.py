"""What people write is read as they mean it, or refused with what to write instead."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bench.config.command_line import understood
from bench.errors import ConfigError

HOME = str(Path.home())
FOLDERS = {
    "~/res": f"{HOME}/res",
    "'~/a b'": f"{HOME}/a b",
    "/a=b": "/a=b",
    "/a(b": "/a(b",
    "/a{b": "/a{b",
    "/a'b": "/a'b",
    "/é": "/é",
    "/a,b": "/a,b",
    "/a b": "/a b",
    "'/a,b'": "/a,b",
    "/a:b": "/a:b",
    "results": "results",
}


@pytest.mark.parametrize("several", [[], ["-m"]])
@pytest.mark.parametrize("given", FOLDERS)
def test_results_go_to_the_folder_that_is_named(given, several):
    *_, argument = understood([*several, f"results_dir={given}"])
    override = OverridesParser.create().parse_override(argument)
    assert not override.is_sweep_override()
    assert override.value() == FOLDERS[given]


@pytest.mark.parametrize("key", ["dataset.root", "dataset.cache", "model.folder", "+x.state_dict"])
def test_home_is_found_in_every_place(key):
    assert understood([f"{key}=~/x"]) == [f"{key}={HOME}/x"]


def test_places_from_the_environment_stay():
    given = ["results_dir=${oc.env:SCRATCH}/x", "dataset.root=null", "-m", "dataset.root=/a,/b"]
    assert understood(given) == given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["model.channels=[8]", "task=perception"],
            "model.channels=[8]: has no effect, since task=perception registers nothing.\n",
        ),
        (
            ["-m", "model=direct", "task=synthesis", "regularizer.weight=1,2"],
            "model=direct regularizer.weight=1,2: have no effect, since task=synthesis registers "
            "nothing.\n",
        ),
        (["task=changes", "model.channels=[8]"], ""),
        (["-m", "task=registration,synthesis", "model.channels=[8]"], ""),
    ],
)
def test_settings_without_effect_are_said(given, said, capsys):
    assert understood(given) == given
    assert capsys.readouterr().out == said


def test_words_of_options_and_usual_settings_stay():
    given = [
        "--cfg",
        "job",
        "-m",
        "metric=ncc,mse",
        "seed=range(3)",
        "~tracker",
        "+experiment=demo",
    ]
    given += ["dataset.shape=[64,64]", "metric.name=", "-cn", "config", "dataset=demo"]
    assert understood(given) == given


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["results_dir="], "results_dir=: is empty. Name a file or folder."),
        (["dataset.root=''"], "dataset.root='': is empty. Name a file or folder."),
        (
            ["metric.name=(a"],
            "metric.name=(a: Hydra gives some characters of this value a meaning. Write "
            """'metric.name='"'"'(a'"'"'', with both kinds of quotes.""",
        ),
        (
            ["metric=[mse,ncc]"],
            "metric=[mse,ncc]: choose one option. To run several, one after the other, write -m "
            "metric=mse,ncc",
        ),
        (
            ["-m", "dataset=[demo,demo3d]"],
            "dataset=[demo,demo3d]: choose one option. To run several, one after the other, write "
            "-m dataset=demo,demo3d",
        ),
        (
            ["metric=ncc,mse"],
            "metric=ncc,mse: has several values. To run them as a sweep, write -m metric=ncc,mse. "
            "To pass one value with a comma in it, write 'metric='\"'\"'ncc,mse'\"'\"''.",
        ),
        (
            ["regularizer.weight=1", "regularizer.scale=2"],
            "regularizer.scale: scales the tuned weight and has no effect beside "
            "regularizer.weight. Leave one out.",
        ),
        (
            ["regularizer=null"],
            "regularizer=null: must be one of bending, diffusion, elastic, folding, sum.",
        ),
        (
            ["seed=0:3"],
            "seed=0:3: is not a number. For a range of values write -m seed=range(0,3).",
        ),
        (
            ["-m", "seed=0:9:3"],
            "seed=0:9:3: is not a number. For a range of values write -m seed=range(0,9,3).",
        ),
        (
            ["-m", "metric=ncc,", "mse"],
            "metric=ncc, mse: has a space after a comma. Write metric=ncc,mse instead.",
        ),
        (["metric=ncc,"], "metric=ncc,: has a space after a comma. Write metric=ncc instead."),
        (
            ["experiment=demo"],
            "experiment=demo: an experiment is a sweep; add it with -m +experiment=demo",
        ),
        (
            ["-m", "+experiment=perception,synthesis"],
            "+experiment=perception,synthesis: a sweep takes one experiment, whose file says what "
            "it sweeps. Run one after the other.",
        ),
        (["results_dir=null"], "results_dir=null: must be a folder, such as results."),
        (["task.judgements="], "task.judgements=: is empty. Name a file or folder."),
        (
            ["dataset=/data/mine"],
            "dataset=/data/mine: must name a kind of data set; give its folder separately: "
            "dataset=nifti dataset.root=/data/mine, or tiff_stack, nnunet, brain, …",
        ),
        (
            ["/data/my set"],
            "/data/my set: is not a setting. To give a data set's folder, write "
            "dataset.root='/data/my set', or --root '/data/my set' after `python -m bench data`.",
        ),
        (
            ["ncc"],
            (
                "ncc: is not a setting; settings have the form KEY=VALUE. `python run.py --help` "
                "lists them."
            ),
        ),
    ],
)
def test_what_nobody_means_is_told(given, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        understood(given)
    assert str(refused.value) == line
