import json
from pathlib import Path

from synthetic_store import config, write_run
from typer.testing import CliRunner

from bench.cli import run_commands
from bench.cli.listing import print_run, print_runs
from bench.cli.terminal import print_summary
from bench.scores.registry import SCORES


def score(mean, std=0.1, n=4):
    return {"mean": mean, "std": std, "n": n}


def summary(**after):
    before = {name: score(0.5) for name in SCORES}
    return {
        "metric": "mse",
        "dataset": "demo",
        "weight": 0.02,
        "seed": 0,
        "steps": 10,
        "scores_before": before,
        "scores": before | after,
    }


def test_summary_shows_before_after_and_the_figure(capsys):
    print_summary(summary(dice=score(0.712), hd95=score(None, None, 0)), Path("results/runs/x"))
    printed = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in printed.splitlines() if "│" in line}
    assert "0.500 ± 0.100" in lines["Dice ↑"]
    assert "0.712 ± 0.100" in lines["Dice ↑"]
    assert lines["HD95 [mm] ↓"].split("│")[3].strip() == "–"
    assert "results/runs/x/figure.png" in printed


def test_poor_extractor_of_a_run_is_told_with_its_scores(capsys):
    def extractor(task, **scores):
        return {"task": task, "steps": 9, "name": task, "scores": scores}

    learned = [extractor("segmenter", dice=0.067), extractor("contrastive", matched=0.5)]
    learned += [extractor("autoencoder", reconstruction_error=3.0), {"task": "vgg", "steps": 0}]
    print_summary(summary(dice=score(0.7)) | {"extractors": learned}, Path("x"))
    printed = capsys.readouterr().out
    assert "warning: the segmenter extractor learned poorly: Dice 0.07 on validation" in printed
    assert printed.count("warning:") == 1


def test_quantile_over_pairs_has_a_row_after_its_score(capsys):
    of_run = summary(tre=score(4.2) | {"p70": 4.63})
    of_run["scores_before"]["tre"] = score(7.0) | {"p70": 7.61}
    print_summary(of_run, Path("x"))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    titles = [row[1].strip() for row in rows]
    place = titles.index("TRE (70 % of pairs) [mm] ↓")
    assert titles[place - 1] == "TRE [mm] ↓"
    assert [cell.strip() for cell in rows[place][2:5]] == ["7.61", "4.63", "4"]
    print_summary(summary(tre=score(None, None, 0) | {"p70": None}), Path("x"))
    assert "70 %" not in capsys.readouterr().out


def test_lengths_of_stacks_are_in_pixels_and_scores_of_another_task_are_shown(capsys):
    other = summary(gaps=score(2.5)) | {"metric": None, "model": "painter", "weight": None}
    del other["scores"]["sdlogj"]  # a run of before that score
    print_summary(other | {"steps": None, "units": {"hd95": "px"}}, Path("x"))
    printed = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in printed.splitlines() if "│" in line}
    assert "painter on demo, seed 0" in printed
    assert "HD95 [px] ↓" in lines
    assert lines["gaps"].split("│")[2].strip() == ""
    assert "2.5000 ± 0.1000" in lines["gaps"]
    assert lines["SD log J ↓"].split("│")[3].strip() == ""


def test_runs_are_listed_whole_however_narrow_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    row = {"status": "finished", "dataset": "hippocampus", "metric": "deepsim_seg"}
    failed = {"status": "failed", "id": "cafe", "error": "loss is nan at step 7"}
    print_runs(
        [row | {"weight": 0.25, "seed": 1, "id": "0123abcd", "dice": 0.6789}, failed], ["dice"]
    )
    printed = capsys.readouterr().out
    for cell in ("deepsim_seg", "hippocampus", "0.25", "0.679", "0123abcd"):
        assert cell in printed
    assert "cafe failed: loss is nan at step 7" in printed


def test_list_says_which_runs_share_one_network_for_every_weight(tmp_path):
    write_run(tmp_path, config(), [0.5, 0.6], network={"name": "n"})
    done = CliRunner().invoke(run_commands.app, ["--results", str(tmp_path)])
    assert done.output.count("one network for every λ") == 1
    write_run(tmp_path / "b", config(), [0.5, 0.6])
    done = CliRunner().invoke(run_commands.app, ["--results", str(tmp_path / "b")])
    assert "network" not in done.output


def test_shown_run_has_no_lines_for_what_it_does_not_have(tmp_path, capsys):
    row = {"id": "a", "status": "finished", "dataset": "demo", "metric": "mse", "seed": 0}
    row |= {"written": 0, "regularizer": None, "weight": None}
    print_run(row | {"task": "perception", "model": "perception"}, tmp_path)
    printed = capsys.readouterr().out
    assert "task: perception" in printed
    assert not any(word in printed for word in ("None", "model", "regularizer", "weight"))
    print_run(row | {"task": "synthesis", "model": "synthesis", "weight": 0.1}, tmp_path)
    assert "factor: 0.1" in capsys.readouterr().out


def test_runs_of_each_task_have_a_table_with_their_scores(capsys):
    run = {"status": "finished", "dataset": "demo", "metric": "mse", "seed": 0}
    rows = [
        run | {"task": "registration", "id": "aa", "dice": 0.5, "tre": 2.5},
        run | {"task": "synthesis", "id": "bb", "psnr": 30.0, "dice_truth": 0.7},
        run | {"task": "registration", "id": "cc", "dice": 0.6},
    ]
    print_runs(rows, ["dice", "tre", "psnr", "dice_truth"])
    first, second = capsys.readouterr().out.split("task=synthesis\n")
    assert first.startswith("task=registration\n")
    heads = [part.splitlines()[i] for part, i in ((first, 2), (second, 1))]
    assert [word in heads[0] for word in ("Dice ↑", "TRE [mm] ↓", "PSNR", "λ")] == [1, 1, 0, 1]
    assert [word in heads[1] for word in ("Dice", "TRE", "PSNR [dB] ↑", "λ")] == [0, 0, 1, 1]
    assert all(run in first for run in ("aa", "cc"))
    assert "bb" in second
    print_runs(rows[:1], ["dice"])
    assert "task=" not in capsys.readouterr().out


def test_runs_are_listed_with_the_scores_of_short_tables_and_lost_classes_if_any(capsys):
    run = {"status": "finished", "dataset": "demo", "metric": "mse", "seed": 0, "id": "aa"}
    rows = [run | {"dice": 0.5, "ndv": 0.1, "hd95_left_out": 0.0, "gaps": 2.0}, run | {"hd95": 1.0}]
    names = ["dice", "hd95", "hd95_left_out", "ndv", "tre", "gaps"]
    print_runs(rows, names)
    head = capsys.readouterr().out.splitlines()[1]
    assert [n in head for n in ("Dice ↑", "HD95 [mm] ↓", "left out", "NDV", "TRE")] == [
        1,
        1,
        0,
        0,
        0,
    ]
    assert "gaps" in head  # of a user's task
    print_runs([run | {"dice": 0.5, "hd95_left_out": 1.0}], names)
    assert "HD95: classes left out ↓" in capsys.readouterr().out.splitlines()[1]


def test_heads_of_listed_runs_have_a_unit_where_runs_agree_and_say_what_the_weight_is(capsys):
    run = {"status": "finished", "dataset": "demo", "metric": "mse", "weight": 0.5, "hd95": 1.0}
    of_mm, of_px = ({"scores": {"hd95": score(1.0)}, "units": {"hd95": u}} for u in ("mm", "px"))
    for known, heading in (
        ({"aa": of_px, "bb": of_px}, "│ HD95 [px] ↓ │"),
        ({"aa": of_mm, "bb": of_px}, "│ HD95 ↓ │"),
    ):
        print_runs([run | {"id": "aa"}, run | {"id": "bb"}], ["hd95"], known)
        head = capsys.readouterr().out.splitlines()[1].replace("┃", "│")
        assert heading in head
        assert "│ λ   │" in head
    print_runs([run | {"id": "aa"}], ["hd95"], {"aa": of_mm | {"problem": "denoising"}})
    assert "┃ c   ┃" in capsys.readouterr().out.splitlines()[1]


def test_scores_of_other_tasks_say_which_way_is_better(capsys):
    other = summary(psnr=score(30.0), distance=score(0.1), appearance=score(0.2))
    del other["scores"]["sdlogj"]
    print_summary(other, Path("x"))
    lines = [
        line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines() if "│" in line
    ]
    assert {"PSNR [dB] ↑", "Distance ↓", "Appearance"} <= set(lines)


def test_runs_that_would_look_alike_are_told_apart(tmp_path):
    write_run(tmp_path, config(), [0.5], variant="plain")
    noisy, long = config(), config(steps=1000)
    noisy["dataset"]["added_noise"] = 0.2
    long["model"]["channels"] = [16, 32]
    write_run(tmp_path, noisy, [0.5], variant="noisy")
    write_run(tmp_path, config("brain"), [0.5], variant="alone")
    runs = CliRunner().invoke(run_commands.app, ["--results", str(tmp_path)]).output
    rows = [line for line in runs.splitlines() if "finished" in line]
    assert [("brain" in row, "noise 0.2" in row) for row in rows].count((False, True)) == 1
    assert sum("noise" in row for row in rows) == 1
    write_run(tmp_path, long, [0.5], variant="long")
    found = CliRunner().invoke(run_commands.app, ["--results", str(tmp_path), "--format", "json"])
    settings = [(row["dataset"], row.get("settings")) for row in json.loads(found.output)]
    assert sorted(settings, key=str) == [
        ("brain", None),
        ("demo", "model channels 16 32, …"),
        ("demo", "model channels 8 16, …"),
        ("demo", "noise 0.2, model channels 8 16, …"),
    ]
