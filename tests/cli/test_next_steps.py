"""The commands that the first run of a folder proposes."""

from pathlib import Path

import pytest

from bench.cli.next_steps import print_next_steps
from bench.config.conditioning import WeightRange

MANY, FEW = "metric=mse,ncc,mind", "metric=mse,deepsim_seg"


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        ([], MANY),
        (["task=changes"], FEW),
        (["task=changes", "model=direct"], MANY),
        (["model=variational", "metric=mse"], FEW),
        (["model=variational", "metric=deepsim_ae"], "metric=mse,deepsim_ae"),
        (["dataset=nifti", "dataset.root=my data", "+dataset.pairs.test.most=3"], MANY),
        (["hydra.searchpath=[file://mine]", "dataset=mine"], MANY),
        (["regularizer=bending", "trainer.steps=20", "force=true"], MANY),
        (["metric=sum", "+metric@metric.terms.a=mse", "metric.factors.a=2"], MANY),
    ],
)
def test_the_sweep_has_the_data_and_the_method_of_the_run(words, swept, capsys):
    print_next_steps(Path("results"), words)
    line = capsys.readouterr().out.splitlines()[0]
    assert f" {swept} seed=0,1 " in line
    for word in words:
        is_kept = word.lstrip("+").startswith(
            ("dataset", "hydra", "task", "model", "trainer", "regularizer")
        )
        assert (f" {word} " in line or f" '{word}' " in line) == is_kept


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        (["metric=nmi", "metric.bins=16", "seed=3"], "metric=mse,ncc,nmi metric.bins=16"),
        (["metric.window=7", "metric=ncc"], f"{MANY} metric.window=7"),
        (
            ["metric=custom", "metric.name=l1", "metric._target_=mine.L1", "regularizer.scale=2"],
            "metric=mse,ncc,custom metric.name=l1 metric._target_=mine.L1",
        ),
    ],
)
def test_the_metric_of_the_run_takes_part_as_it_was_set(words, swept, capsys):
    print_next_steps(Path("results"), words)
    assert f" -m {swept} seed=0,1 " in capsys.readouterr().out.splitlines()[0]


CUSTOM = ["metric=custom", "metric.name=l1", "metric._target_=mine.L1"]


@pytest.mark.parametrize(
    ("words", "weight", "learned", "swept"),
    [
        (
            [*CUSTOM, "regularizer.weight=0.2"],
            0.2,
            None,
            [*CUSTOM, "regularizer.weight=0.05,0.2,0.8"],
        ),
        (
            ["metric=sum", "+metric@metric.terms.a=mse", "regularizer.weight=4"],
            4.0,
            None,
            ["metric=sum", "+metric@metric.terms.a=mse", "regularizer.weight=1,4,16"],
        ),
        (
            ["model.lambda_range=[0.1,2]", "metric=mse", "regularizer.weight=1"],
            1.0,
            WeightRange(0.1, 2),
            ["'model.lambda_range=[0.1,2]'", "metric=mse", "regularizer.weight=0.25,1"],
        ),
        (["model.lambda_range=[0.1,2]"], 0.2, WeightRange(0.1, 2), [MANY, "seed=0,1"]),
        (["regularizer.weight=0"], 0.0, None, [MANY, "seed=0,1"]),
    ],
)
def test_a_weight_of_the_user_is_tried_with_others(words, weight, learned, swept, capsys):
    print_next_steps(Path("results"), words, weight, learned)
    line = capsys.readouterr().out.splitlines()[0]
    assert f" -m {' '.join(swept)} " in " ".join(line.split())


def test_next_steps_find_the_classes_of_the_user(monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", "my code")
    print_next_steps(Path("results"), CUSTOM)
    print_next_steps(Path("results"), [])
    first, *_, plain, _, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("next: PYTHONPATH='my code' python")
    assert plain.startswith("next: python")
