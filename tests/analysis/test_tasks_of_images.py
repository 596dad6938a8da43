"""Names, figures and verdicts of perception and synthesis, from records."""

import copy
from pathlib import Path

import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from bench.analysis.numbers.differences import differences
from bench.analysis.numbers.extractors import by_role
from bench.analysis.numbers.missing import find_missing, missing_of
from bench.analysis.numbers.perception import perceived
from bench.analysis.numbers.synthesis import _inputs, synthesis_sentences
from bench.analysis.plots.drawings import LONGEST, Drawing, file_name
from bench.analysis.plots.perception import _draw_scores
from bench.analysis.plots.synthesis import _title
from bench.analysis.reading.records import Records
from bench.analysis.reading.results import read_results
from bench.analysis.report.main_table import spread
from bench.analysis.report.markup import latex, markdown
from bench.analysis.report.pages import figure
from bench.analysis.report.synthesis import synthesis_tables
from bench.cli.listing import print_missing
from bench.scores.of_images import DISTORTIONS
from bench.store.folder import Folder
from bench.store.layout import CONFIG

STORED = Path(__file__).parents[2] / "docs" / "results" / "perception"
LISTED = ("task", "dataset", "metric", "model", "variant")


@pytest.fixture
def records() -> Records:
    """Runs of five metrics on one data set, as they were exported."""
    return copy.deepcopy(read_results(STORED, "hippocampus-[mn]*"))


def test_tables_of_runs_are_named_by_their_files_and_compared_by_content(records: Records) -> None:
    runs = list(records.summaries)
    for run, place, content in zip(
        runs,
        ("/a/people.csv", "/b/raters.csv", "/c/people.csv", "/d/experts.csv"),
        ("1" * 64, "1" * 64, "2" * 64, "3" * 64),
        strict=False,
    ):
        records.configs[run]["task"]["judgements"] = place
        records.summaries[run]["task_tables"] = {"judgements": content}
    found = {one.name: len(one.variants) for one in perceived(records)}
    assert found == {
        "hippocampus": 1,
        "hippocampus (task judgements people.csv 11111111)": 2,
        "hippocampus (task judgements people.csv 22222222)": 1,
        "hippocampus (task judgements experts.csv)": 1,
    }


def test_random_features_are_always_named(records: Records) -> None:
    first, *_ = records.summaries
    records.summaries[first]["extractors"] = [{"task": "autoencoder", "steps": 0}]
    (one,) = perceived(records)
    (random,) = (variant for variant in one.variants if variant.steps == 0)
    assert random.label == f"{random.metric} extractor steps 0"


def test_long_lists_are_named_in_few_words(records: Records) -> None:
    few, many, long = list(records.summaries)[:3]
    records.configs[few]["task"]["distortions"] = ["blur", "noise"]
    records.configs[many]["task"]["distortions"] = [*DISTORTIONS[:-1]]
    records.configs[long]["task"]["levels"] = list(range(60, 20, -1))
    names = {one.name.partition(", task levels")[0] for one in perceived(records)}
    assert {name.partition("(")[2] for name in names} == {
        "task distortions all",
        "task distortions all but lesions",
        "task distortions noise blur",
    }
    (levels,) = (one.name for one in perceived(records) if "60 to 21 (40, " in one.name)
    assert len(levels) < 90


def folders(records: Records, place: Path) -> tuple[list[Folder], list[dict]]:
    found, rows = [], []
    for number, (run, config) in enumerate(records.configs.items()):
        folder = Folder(place / run)
        folder.path.mkdir(parents=True)
        config = {"regularizer": {"name": "bending", "weight": 1}, "tracker": {"name": "no"}} | {
            "trainer": {"name": "adam"},
            **config,
        }
        folder.file(CONFIG).write_text(yaml.safe_dump(config))
        names = {name: config[name]["name"] for name in LISTED[:-1]}
        rows.append({**names, "variant": str(number)})
        found.append(folder)
    return found, rows


def test_list_of_runs_tells_settings_of_the_task_apart_over_all_metrics(
    records: Records, tmp_path: Path
) -> None:
    first, *_ = records.configs
    records.configs[first]["task"]["levels"] = [50, 30]
    said = differences(*folders(records, tmp_path))
    assert said == ["levels 50 30", *["levels 40 32 24"] * (len(said) - 1)]


def test_list_of_runs_counts_long_lists(records: Records, tmp_path: Path) -> None:
    first, second, third, *_ = records.configs
    records.configs[first]["task"]["distortions"] = [*DISTORTIONS]
    records.configs[second]["task"]["distortions"] = ["blur"]
    found = folders(records, tmp_path / "a")
    assert differences(*found)[:2] == [f"{len(DISTORTIONS)} distortions", "distortions blur"]
    records.configs[third]["task"]["distortions"] = [*DISTORTIONS][::-1]
    said = differences(*folders(records, tmp_path / "b"))
    assert said[0] != said[2]
    assert all(text.startswith(f"distortions of {len(DISTORTIONS)} (") for text in said[::2][:2])
    assert max(map(len, said)) < 40


def test_list_of_runs_always_says_the_problem_of_a_synthesis(
    records: Records, tmp_path: Path
) -> None:
    for config in records.configs.values():
        config["task"] = {"name": "synthesis", "problem": "denoise", "noise": 0.1, "factor": 1}
        config["model"] = {"name": "synthesis", "uses": ["metric"]}
    found = folders(records, tmp_path)
    assert differences(*found) == ["denoise"] * len(records.configs)
    assert differences(found[0][:1], found[1][:1]) == ["denoise"]


def test_unfinished_runs_of_a_task_are_missing(records: Records) -> None:
    first, second, *_ = records.runs.index
    records.runs.loc[first, ["status", "error"]] = "failed", "the metric is nan"
    records.runs.loc[second, ["status", "task"]] = "failed", "registration"
    (row,) = missing_of(records, "perception").to_dict("records")
    assert (row["what"], row["metric"]) == ("failed", records.runs.loc[first, "method"])
    assert row["reason"].endswith("the metric is nan")


def test_warnings_of_runs_are_notes(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    _, second, *_ = records.summaries
    records.summaries[second]["warnings"] = ["D is the same"]
    for found in (missing_of(records, "perception"), find_missing(records, [])):
        print_missing(found.to_dict("records"))
        metric = records.summaries[second]["metric"]
        assert capsys.readouterr().out == f"note: hippocampus {metric}: D is the same\n"
    assert missing_of(records, "synthesis").empty


def test_geometry_has_no_adjacent_levels_in_the_figure() -> None:
    panel = Figure().subplots()
    scores = {"2afc_noise": 1.0, "2afc_adjacent_noise": 0.75, "geometry_noise": 0.5}
    _draw_scores(panel, pd.DataFrame([scores, scores]))
    drawn = {line.get_label(): line for line in panel.lines}
    assert list(drawn["all pairs"].get_xdata()) == [1, 0.5]
    assert list(drawn["adjacent levels"].get_xdata()) == [0.75]
    assert list(drawn["adjacent levels"].get_ydata()) == [0]


def test_alternative_text_is_a_whole_sentence() -> None:
    drawing = Drawing("a", "", None)
    for caption in (
        "2AFC on demo (noise 0.2), mean. 1: always.",
        "2AFC on demo (noise 0.2), mean.",
    ):
        said = figure(drawing, caption, Path("page.md"), Path("images"))
        assert said.startswith("![2AFC on demo (noise 0.2), mean](images/a.png)")


def test_names_of_files_are_short_and_distinct() -> None:
    assert file_name("demo (noise 0.2)") == "demo-noise-0-2"
    long = [f"demo (levels {'40 ' * 90}{last})" for last in (1, 2)]
    names = {file_name(name) for name in (*long, "λ" * 300)}
    assert len(names) == 3
    assert all(len(name.encode()) <= LONGEST for name in names)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "mark"),
    [
        (0.0001, 0.0004, "differs in none of the scores", ""),
        (0.0004, 0.0021, "differs in none of the scores", ""),
        (0.0006, 0.0021, "is better in SSIM (+0.002, +0.001 to +0.002)", "best"),
        (-0.0021, -0.0006, "is worse in SSIM (−0.002, −0.002 to −0.001)", ""),
    ],
)
def test_gains_count_in_the_digits_that_are_shown(low, high, verdict, mark) -> None:
    common = {"comparison": "demo, denoise", "judge": None, "seeds": 1, "images": 4}
    gain = {
        "ssim_gain": high if high > 0.002 else low,
        "ssim_gain_low": low,
        "ssim_gain_high": high,
    }
    limits = {"ssim_low": 0.7, "ssim_high": 0.9}
    rows = pd.DataFrame(
        [
            {**common, "label": "mse", "metric": "mse", "weight": None, "ssim": 0.8, **limits},
            {
                **common,
                "label": "ncc",
                "metric": "ncc",
                "weight": 1,
                "ssim": 0.8002,
                **limits,
                **gain,
            },
        ]
    )
    assert synthesis_sentences(rows) == [f"demo, denoise: against MSE alone ncc (c = 1) {verdict}."]
    means, gains = synthesis_tables(rows)
    assert [row[-1].mark for row in means.rows] == ["best", "best"]  # both are 0.800
    assert gains.rows[0][-1].mark == mark


def test_scores_of_a_poor_judge_are_marked_and_none_of_them_is_best() -> None:
    common = {"comparison": "demo", "judge": "deepsim_csr", "seeds": 1, "images": 4}
    common |= {"dice_judge": "Dice 0.07 (poor)", "distance_judge": "matched 0.60"}
    rows = []
    for label, dice in (("mse", 0.1), ("deepsim_csr", 0.2)):
        ends = {"_low": dice - 0.3, "_high": dice + 0.3}
        row = {**common, "label": label, "metric": label, "weight": 1, "extractor": None}
        for name in ("dice", "distance"):
            row |= {name: dice, **{name + end: value for end, value in ends.items()}}
        rows.append(row)
    rows[1] |= {"extractor": "matched 0.06 (poor)"}
    for name, gain in (("dice", 0.1), ("distance", -0.1)):
        rows[1] |= {f"{name}_gain{end}": gain for end in ("", "_low", "_high")}
    means, gains = synthesis_tables(pd.DataFrame(rows))
    assert means.headings[-3:] == ["loss's extractor", "judge of Dice", "judge of distance"]
    assert [[cell.text for cell in row[-3:]] for row in means.rows] == [
        ["–", "Dice 0.07 (poor)", "matched 0.60"],
        ["matched 0.06 (poor)", "Dice 0.07 (poor)", "matched 0.60"],
    ]
    marks = {
        heading: [row[i].mark for row in means.rows] for i, heading in enumerate(means.headings)
    }
    assert marks["Dice ↑"] == ["", ""]
    assert marks["Distance [deepsim_csr] ↓"] == ["best", ""]
    assert [cell.mark for cell in gains.rows[0][-2:]] == ["best", ""]  # distance, Dice
    (said,) = synthesis_sentences(pd.DataFrame(rows))
    assert said.endswith(" Dice means little, as its judge learned poorly: Dice 0.07 (poor).")


def test_input_has_a_score_that_the_first_loss_left_out() -> None:
    first = pd.DataFrame({"psnr_before": [30.0, 31.0]}, index=["a", "b"])
    second = pd.DataFrame({"psnr_before": [0.0, 0.0], "distance_before": [0.4, 0.5]}, ["a", "b"])
    expected = pd.DataFrame({"psnr": [30.0, 31.0], "distance": [0.4, 0.5]}, ["a", "b"])
    pd.testing.assert_frame_equal(_inputs([first, second]), expected)


def test_extractors_of_a_synthesis_are_known_by_what_they_are_for() -> None:
    learning = {"extractor": {"steps": 9}}
    judges = {"distance": learning, "segmenter": learning}
    config = {"metric": {"terms": {"a": learning, "b": {"extractor": {"state_dict": "w"}}}}}
    config["task"] = {"judges": judges}
    listed = [{"task": name} for name in "abc"]
    scores = {"dice": {}, "distance": {}}
    found = by_role(config, {"scores": scores, "extractors": listed})
    assert found == {"metric": listed[:1], "distance": listed[1:2], "segmenter": listed[2:]}
    found = by_role(config, {"scores": {"dice": {}}, "extractors": listed[:2]})
    assert found == {"metric": listed[:1], "segmenter": listed[1:2]}  # the distance is the loss


@pytest.mark.parametrize("write", [markdown, latex])
def test_a_cell_has_one_kind_of_minus(write) -> None:
    row = {"comparison": "demo", "label": "mse", "judge": None, "seeds": 1, "images": 4}
    row |= {"weight": 1, "ssim": -0.027, "ssim_low": -0.032, "ssim_high": -0.022}
    (table,) = synthesis_tables(pd.DataFrame([row]))
    minus = {markdown: "−", latex: "$-$"}[write]
    assert f"{minus}0.027 ({minus}0.032 to {minus}0.022)" in write(table)
    assert spread(-0.5, 0.1, 2) == "−0.50 ± 0.10"


def test_titles_of_outputs_have_c() -> None:
    assert (
        _title({"label": "ncc", "weight": 0.1}) == "ncc, c\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.1"
    )
    assert _title({"label": "mse", "weight": float("nan")}) == "mse"


def test_distances_name_their_judge() -> None:
    row = {"comparison": "demo", "label": "mse", "weight": 1, "seeds": 1, "images": 4}
    row |= {"distance": 0.1, "distance_low": 0.1, "distance_high": 0.1}
    for judges, heading in (
        (["deepsim_ae"] * 2, "Distance [deepsim_ae] ↓"),
        (["deepsim_ae", "ncc"], "Distance ↓"),
    ):
        (table,) = synthesis_tables(pd.DataFrame([{**row, "judge": judge} for judge in judges]))
        assert table.headings[-1] == heading
