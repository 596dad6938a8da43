"""`python -m bench register` on the command line."""

from pathlib import Path

import numpy as np
import pytest

from bench.cli.register_command import doubt_of

from .conftest import (
    TRAINING,
    Command,
    at,
    only_run,
    read_rows,
    read_summary,
)


def test_a_run_registers_one_pair_and_many(
    volumes: Path, tmp_path: Path, empty_results: Path, run: Command, bench: Command
) -> None:
    settings = ["dataset=nifti", f"dataset.root={volumes}", "metric=mse", *TRAINING]
    assert run(*settings, at(empty_results)).code == 0
    name = only_run(empty_results).name.rpartition("-")[2]
    one = ["--moving", f"{volumes / 'image4.nii.gz'}", "--fixed", f"{volumes / 'image5.nii.gz'}"]
    out = tmp_path / "out"
    to = ["--results", str(empty_results), "--out", str(out)]
    outcome = bench("register", name, *one, *to, "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("image4 to image5: D ")
    written = ["displacement.nii.gz", "origin.json", "warped.nii.gz"]
    assert sorted(path.name for path in out.iterdir()) == written

    (volumes / "new.csv").write_text("moving,fixed\nimage4.nii.gz,image5.nii.gz\n" * 1)
    outcome = bench(
        "register",
        str(only_run(empty_results)),
        *["--csv", str(volumes / "new.csv"), "--format", "voxels", *to],
    )
    assert (outcome.code, outcome.err) == (0, "")
    u = np.load(out / "image4_to_image5" / "displacement.npy")
    assert u.shape == (3, 12, 14, 10)

    for options, words in (
        ([], "Name one pair with --moving A --fixed B"),
        ([*one, "--csv", str(volumes / "new.csv")], "--csv lists the pairs"),
        ([*one, "--device", "tpu"], "--device tpu: must be one of cpu"),
        ([*one, "--format", "itk"], "--format itk: must be one of ants, learn2reg, voxels."),
        ([*one, "--fixed-labels", "l.nii"], "l.nii: labels the fixed image"),
        ([*one, "--labels", "l.nii"], "--labels l.nii: no such file."),
        (["--moving", "a.nii", *one[2:]], "--moving a.nii: no such file."),
    ):
        assert words in bench("register", name, *options, *to).line
    unknown = bench("register", "00000000", *one, *to)
    assert "00000000: no run of this id" in unknown.line


def test_written_fields_are_scored_as_the_run_was(
    volumes: Path, tmp_path: Path, empty_results: Path, run: Command, bench: Command
) -> None:
    data = [f"dataset.root={volumes}", "dataset.shape=[10,12,10]"]
    settings = ["dataset=nifti", *data, "metric=mse", "model.flow_std=0.5", *TRAINING]
    assert run(*settings, at(empty_results)).code == 0
    trained = only_run(empty_results)
    pairs = read_rows(trained / "pairs.csv")
    rows = [f"{row['moving']}.nii.gz,{row['fixed']}.nii.gz" for row in pairs]
    (volumes / "new.csv").write_text("\n".join(["moving,fixed", *rows]))
    for layout in ("ants", "learn2reg", "voxels"):
        out = tmp_path / layout
        many = ["--csv", str(volumes / "new.csv"), "--format", layout, "--out", str(out)]
        assert bench("register", str(trained), *many).code == 0
        (out / "seconds.csv").write_text("moving,fixed,seconds\nimage4,image5,7\nimage5,image4,9\n")
        scored = tmp_path / f"{layout}-results"
        outcome = bench(
            *["score", str(out), "--dataset", "nifti", "--name", "tool", "--version", "1.2"],
            *["--results", str(scored), *data, "tracker=none", "trainer.accelerator=cpu"],
        )
        assert (outcome.code, outcome.err) == (0, "")
        assert "Dice" in outcome.out
        worse = all(float(row["dice"]) < float(row["dice_before"]) for row in pairs)
        assert ("note: Dice fell on 2 of 2 pairs. Does the field" in outcome.out) == worse
        folder = only_run(scored)
        assert folder.name.startswith("nifti-tool-seed0-")
        assert read_summary(folder)["scores"]["seconds"]["mean"] == 8
        for found, expected in zip(read_rows(folder / "pairs.csv"), pairs, strict=True):
            assert abs(float(found["dice"]) - float(expected["dice"])) < 1e-4
            assert found["dice_before"] == expected["dice_before"] != found["dice"]
            assert abs(float(found["sdlogj"]) - float(expected["sdlogj"])) < 1e-4
    one = ["--moving", str(volumes / "image4.nii.gz"), "--fixed", str(volumes / "image5.nii.gz")]
    refused = bench("register", str(folder), *one, "--out", str(tmp_path / "none"))
    assert "reads what another tool registered; it cannot be applied to new files" in refused.line


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["dice,dice_before", "0.4,0.5", "0.1,0.6"], "Dice fell on 2 of 2 pairs. "),
        (["dice,dice_before,tre,tre_before", "0.4,0.5,1,2", "0.1,0.6,1,2"], "Dice fell on 2 of 2"),
        (["tre,tre_before", "4,3", "5,3", "9,1"], "TRE grew on 3 of 3 pairs. "),
        (["dice,dice_before", "0.4,0.5", "0.6,0.6"], None),
        (["dice,dice_before,tre,tre_before", "0.6,0.5,4,3", "0.1,0.6,4,3"], None),
        (["dice,dice_before", "0.4,0.5", ","], None),
        (["dice,dice_before", "0.4,0.5"], None),
        (["folding", "0.4", "0.5"], None),
    ],
)
def test_fields_that_make_every_pair_worse_are_doubted(
    tmp_path: Path, rows: list[str], words: str | None
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows))
    doubt = doubt_of(path)
    assert doubt is None if words is None else str(doubt).startswith(words)


def test_table_of_pairs_that_is_no_file_is_named(tmp_path: Path, bench: Command) -> None:
    line = bench("register", "ID", "--csv", str(tmp_path), "--out", str(tmp_path / "out")).line
    assert line == f"--csv {tmp_path}: is not a file. Give a table of pairs, such as pairs.csv."


def test_folder_that_is_no_run_is_named(tmp_path: Path, bench: Command) -> None:
    files = ["--moving", "a.nii", "--fixed", "b.nii", "--out", str(tmp_path / "out")]
    for folder in (tmp_path, tmp_path / "runs"):
        folder.mkdir(exist_ok=True)
        assert bench("register", str(folder), *files).line == (
            f"{folder}: is not the folder of a run: it has no run.json. Give the folder of a run, "
            "such as results/runs/NAME, or an id that `python -m bench runs` lists."
        )
