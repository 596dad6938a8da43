"""The commands that the first run of a folder proposes."""

from pathlib import Path

import pytest

from bench.cli.terminal import print_next_steps

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
        (["regularizer.weight=2", "trainer.steps=20", "force=true"], MANY),
        (["metric=sum", "+metric@metric.terms.a=mse", "metric.factors.a=2"], MANY),
    ],
)
def test_the_sweep_has_the_data_and_the_method_of_the_run(words, swept, capsys):
    print_next_steps(Path("results"), words)
    line = capsys.readouterr().out.splitlines()[0]
    assert f" {swept} seed=0,1 " in line
    for word in words:
        is_kept = word.lstrip("+").startswith(("dataset", "task", "model", "trainer"))
        assert (f" {word} " in line or f" '{word}' " in line) == is_kept


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        (["metric=nmi", "metric.bins=16", "seed=3"], "metric=mse,ncc,nmi metric.bins=16"),
        (["metric.window=7", "metric=ncc"], f"{MANY} metric.window=7"),
        (
            ["metric=custom", "metric.name=l1", "metric._target_=mine.L1", "regularizer.weight=1"],
            "metric=mse,ncc,custom metric.name=l1 metric._target_=mine.L1",
        ),
    ],
)
def test_the_metric_of_the_run_takes_part_as_it_was_set(words, swept, capsys):
    print_next_steps(Path("results"), words)
    assert f" -m {swept} seed=0,1 " in capsys.readouterr().out.splitlines()[0]
