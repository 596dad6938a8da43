"""The commands that the first run of a folder proposes."""

from pathlib import Path

import pytest

from bench.cli.terminal import print_next_steps

MANY, FEW = "metric=mse,ncc,mind", "metric=mse,deepsim_seg"


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        ([], MANY),
        (["metric=nmi", "metric.bins=16", "+metric.mask=labels", "seed=3"], MANY),
        (["task=changes"], FEW),
        (["task=changes", "model=direct"], MANY),
        (["model=variational", "metric=mse"], FEW),
        (["dataset=nifti", "dataset.root=my data", "+dataset.pairs.test.most=3"], MANY),
        (["regularizer.weight=2", "trainer.steps=20", "force=true"], MANY),
    ],
)
def test_the_sweep_has_the_data_and_the_method_of_the_run(words, swept, capsys):
    print_next_steps(Path("results"), words)
    line = capsys.readouterr().out.splitlines()[0]
    assert f" {swept} seed=0,1 " in line
    for word in words:
        is_kept = word.lstrip("+").startswith(("dataset", "task", "model", "trainer"))
        assert (f" {word} " in line or f" '{word}' " in line) == is_kept
