"""Whole reports, on the golden store: what was planted comes out."""

import base64
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from golden_store import BEST_WEIGHTS, DATASETS, GAINS, PAIRS, SEEDS, TIE, write_golden_store
from synthetic_store import config, fail_run, start_run, write_run
from typer.testing import CliRunner

from bench.analysis.numbers.findings import Request, find
from bench.analysis.report import page
from bench.analysis.report.writing import write_report
from bench.cli.commands import app
from bench.errors import BenchError, ConfigError, StoreError
from bench.scores.registry import compared_scores

RANKING = sorted(GAINS, key=lambda metric: -GAINS[metric])


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    results = tmp_path_factory.mktemp("golden")
    write_golden_store(results)
    return results


@pytest.fixture(scope="module")
def written(golden):
    found = write_report(Request(golden), golden / "report")
    return found, golden / "report"


@pytest.fixture(scope="module")
def rows(written):
    return written[0].rows.set_index(["comparison", "label"])


def test_planted_weights_are_chosen_though_test_scores_say_otherwise(written):
    chosen = {
        (own.name, entry.label): entry.choice.weight
        for own in written[0].comparisons
        for entry in own.entries
    }
    expected = {(d, m): BEST_WEIGHTS[m] for d in DATASETS for m in GAINS}
    assert chosen == expected


@pytest.mark.parametrize("dataset", DATASETS)
def test_planted_ranking_comes_out(rows, dataset):
    dice = rows.loc[dataset, "dice"].drop(["unregistered", "nmi"], errors="ignore")
    order = list(dice.sort_values(ascending=False).index)
    assert set(order[:2]) == set(RANKING[:2])
    assert order[2:] == RANKING[2:]
    assert dataset == TIE[0] or order == RANKING


def test_planted_means_come_out(rows):
    differences = rows.loc["brain", "dice"] - rows.loc[("brain", "mse"), "dice"]
    for metric, gain in GAINS.items():
        assert differences[metric] == pytest.approx(gain - GAINS["mse"], abs=0.005)
    assert (rows["seeds"].dropna() == len(SEEDS)).all()


def lines_of(path):
    lines = [line.split("|")[1:-1] for line in path.read_text().splitlines() if "|" in line]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_best_is_bold_second_underlined_and_only_the_planted_tie_is_one(written):
    lines = lines_of(written[1] / "tables" / "results.md")
    dice = {(line[0], line[1]): line[5] for line in lines}
    for dataset in DATASETS:
        pair = [dice[dataset, metric] for metric in RANKING[:2]]
        assert sorted(text[:2] for text in pair) == ["**", "<u"]
        if dataset != TIE[0]:
            assert pair[0].startswith("**")
        assert all(dice[dataset, metric][0].isdigit() for metric in RANKING[2:])
        assert any("≈" in text for text in pair) == (dataset == TIE[0])


def test_gaps_are_listed(written):
    rows = written[0].missing.to_dict("records")
    found = {(row["what"], row["dataset"], row["metric"]): row["reason"] for row in rows}
    assert re.fullmatch(r"run \w+: loss is not finite", found["failed", "brain", "mse"])
    assert found["skipped", "brain", "nmi"] == "nmi needs one channel"
    assert found["no seed", "phc_u373", "mind"] == "of 3 seeds, 2 under λ = 4"
    assert found["no seed", "brain", "mse"] == "of 3 seeds, 2 under λ = 0.25"
    assert found["no value", "hippocampus", "ncc"] == (
        "Dice of 1 of 12 test pairs is not a number; the means leave them out"
    )
    assert all(found["no value", d, ""].startswith("class ghost is absent") for d in DATASETS)
    assert len(found) == 9


def test_planted_nan_is_left_out_and_counted(written, rows):
    assert rows.loc[("hippocampus", "ncc"), ["n", "left_out"]].tolist() == [PAIRS - 1, 1]
    pairs = written[0].pairs.query("comparison == 'hippocampus' and score == 'dice'")
    with_ncc = pairs[(pairs["first"] == "ncc") | (pairs["second"] == "ncc")]
    assert set(with_ncc["n"]) == {PAIRS - 1}
    assert set(with_ncc["left_out"]) == {1}
    assert set(pairs.drop(with_ncc.index)["left_out"]) == {0}


def test_skipped_metric_is_missing_and_an_absent_class_says_so(written):
    tables = written[1] / "tables"
    assert all(line[1] != "nmi" for line in lines_of(tables / "results.md"))
    assert any(line[2] == "nmi" for line in lines_of(tables / "missing.md"))
    ghosts = [line for line in lines_of(tables / "classes.md") if line[0] == "ghost"]
    assert len(ghosts) == len(DATASETS)
    assert all(set(line[2:]) == {"absent"} for line in ghosts)


def test_every_table_and_figure_is_written(written):
    names = {path.name for path in (written[1] / "figures").iterdir()}
    kinds = ("classes", "weights", "convergence")
    per_dataset = [f"{kind}-{dataset}" for kind in kinds for dataset in DATASETS]
    expected = ["dice", "smoothness", "ranks", *per_dataset]
    assert names == {f"{name}.{suffix}" for name in expected for suffix in ("png", "pdf")}
    assert {path.name for path in (written[1] / "tables").iterdir()} == {
        f"{name}.{suffix}"
        for name in ("results", "equal_smoothness", "classes", "statistics", "missing")
        for suffix in ("md", "tex", "csv")
    } | {
        "runs.csv",
        "friedman.csv",
        "conclusions.md",
        "configs.yaml",
    }
    statistics = pd.read_csv(written[1] / "tables" / "statistics.csv")
    assert len(statistics) == len(DATASETS) * len(compared_scores()) * 21
    assert "cohens_d" not in statistics


def headings_of(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def test_page_is_one_file_that_answers_first(written):
    page = (written[1] / "index.html").read_text()
    assert headings_of(page) == [
        *("Conclusions", "Results", "Dice and smoothness", "Dice over test pairs"),
        *("Ranks over data sets", "Classes", "Choice of λ", "Training", "Statistics"),
        *("What is missing", "What was run", "Provenance"),
    ]
    contents = re.findall(r'<li><a href="#section-[^"]+">(.*?)</a>', page)
    assert contents == headings_of(page)
    images = re.findall(r'<img alt="[^"]+" src="data:image/png;base64,([^"]+)"', page)
    figures = {path.read_bytes() for path in (written[1] / "figures").glob("*.png")}
    assert {base64.b64decode(image) for image in images} == figures
    outside_scripts = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(?!data:|#)', outside_scripts)
    assert len(page.encode()) < 6_000_000
    assert "loss is not finite" in page
    commands = re.findall(r"<pre>(python run.py .*?)</pre>", page)
    assert len(commands) == len(DATASETS) * len(GAINS) * len(SEEDS)
    assert "dataset=brain metric=mse" in html.unescape(commands[0])
    configs = yaml.safe_load((written[1] / "tables" / "configs.yaml").read_text())
    assert len(configs) == len(commands)
    assert all(name in page for name in configs)


def test_each_data_set_is_answered_in_a_sentence(written):
    page = (written[1] / "index.html").read_text()
    said = re.findall(r'<p class="headline">(.*?)</p>', page)
    assert len(said) == len(DATASETS)
    for dataset, sentence in zip(sorted(DATASETS), said, strict=True):
        alike = ". Not significantly lower: " in sentence
        assert alike == (dataset == TIE[0])
        assert sentence.partition(" has the highest mean Dice, ")[0] in RANKING[:2]


def test_pictures_say_their_numbers_in_words(written):
    found, folder = written
    page = html.unescape((folder / "index.html").read_text())
    (alt,) = re.findall(r'<img alt="(Box plots of Dice over test pairs\. [^"]*)"', page)
    for one in found.comparisons:
        median = one.scores("dice")[RANKING[0]].median()
        assert f"{one.name}: medians " in alt
        assert f"{RANKING[0]} {median:.3f}" in alt


def test_pictures_that_do_not_fit_into_the_page_are_shown_from_their_files(tmp_path, monkeypatch):
    write_run(tmp_path, config(), [0.5, 0.6])
    write_run(tmp_path, config(metric="mse"), [0.4, 0.7])
    monkeypatch.setattr(page, "LARGEST", 0)
    write_report(Request(tmp_path), tmp_path / "out")
    sources = re.findall(r'<img [^>]*src="([^"]+)"', (tmp_path / "out" / "index.html").read_text())
    assert sources
    assert all((tmp_path / "out" / source).is_file() for source in sources)


def test_methods_that_a_figure_leaves_out_are_named_under_it(tmp_path):
    for weight in (0.5, 1.0):
        write_run(tmp_path, config(weight=weight), [0.5, 0.6])
    write_run(tmp_path, config(metric="mse", weight=2.0), [0.4, 0.7])
    write_report(Request(tmp_path), tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    (caption,) = re.findall(r"<figcaption>(Validation Dice .*?)</figcaption>", text, re.DOTALL)
    assert caption.endswith("Left out: mse (λ = 2 only).")


def test_figure_of_one_point_is_left_out(tmp_path):
    write_run(tmp_path, config(), [0.5])
    write_report(Request(tmp_path), tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == {"convergence-demo"}
    headings = headings_of((tmp_path / "out" / "index.html").read_text())
    assert headings[:2] == ["Conclusions", "Results"]


def test_methods_without_metric_are_on_top_of_the_table(tmp_path):
    write_run(tmp_path, config(metric="mse"), [0.5, 0.6])
    syn = config(metric="syn")
    syn["model"] = {"name": "syn", "uses": []}
    write_run(tmp_path, syn, [0.4, 0.7], variant="syn")
    write_report(Request(tmp_path), tmp_path / "out")
    lines = lines_of(tmp_path / "out" / "tables" / "results.md")
    assert [line[1] for line in lines] == ["unregistered", "syn", "mse"]


def test_same_input_same_bytes(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, config(seed=seed), [0.5, 0.6, 0.8])
        write_run(tmp_path, config(metric="mse", seed=seed), [0.4, 0.7, 0.6])
    request = Request(tmp_path, published=True)
    contents = []
    for _ in range(2):
        write_report(request, tmp_path / "report")
        files = sorted(path for path in (tmp_path / "report").rglob("*") if path.is_file())
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 20
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == [".report.lock"]  # what reports take turns by


def test_names_of_subjects_do_not_end_the_data_of_a_plot(tmp_path):
    evil = "</script><script>alert(1)</script>"
    for metric, dice in (("mse", [0.5, 0.6]), ("ncc", [0.4, 0.7])):
        write_run(tmp_path, config(metric=metric), dice, moving=[evil, "b"])
    write_report(Request(tmp_path), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert(1)" not in page
    assert r"\u003c/script>\u003cscript>alert(1)" in page


def test_published_values_and_test_are_there_on_request(tmp_path):
    write_run(tmp_path, config("hippocampus"), [0.5, 0.6])
    write_run(tmp_path, config("hippocampus", metric="mse"), [0.4, 0.7])
    write_report(Request(tmp_path), tmp_path / "plain")
    assert "papers' Dice" not in (tmp_path / "plain" / "tables" / "results.md").read_text()
    write_report(Request(tmp_path, published=True), tmp_path / "out")
    tables = tmp_path / "out" / "tables"
    assert "cohens_d" in pd.read_csv(tables / "statistics.csv")
    assert "Cohen's d (published)" in (tables / "statistics.md").read_text()
    assert "papers' Dice" in (tables / "results.md").read_text()
    assert (
        "| brain | deepsim_seg | – | **0.675** | **0.1192** |"
        in (tables / "published.md").read_text()
    )
    assert (tmp_path / "out" / "figures" / "published.png").exists()


def test_published_values_need_no_runs(tmp_path):
    found = write_report(Request(tmp_path, published=True), tmp_path / "out")
    assert found.comparisons == []
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {
        "published.png",
        "published.pdf",
    }


def test_unfinished_runs_alone_make_a_report_of_what_is_missing(tmp_path):
    start_run(tmp_path, config())
    write_report(Request(tmp_path), tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    assert "stopped before it finished" in text
    assert headings_of(text) == ["What is missing", "Provenance"]


def test_without_labels_smoothness_is_still_reported(tmp_path):
    for metric in ("mse", "ncc"):
        folder = write_run(tmp_path, config(metric=metric), [0.5, 0.6])
        (folder / "classes.csv").unlink()
        pairs = pd.read_csv(folder / "pairs.csv")
        labelled = [name for name in pairs if name.startswith(("dice", "hd95"))]
        pairs.drop(columns=labelled).to_csv(folder / "pairs.csv", index=False)
    found = write_report(Request(tmp_path), tmp_path / "out")
    assert found.rows["sdlogj"].notna().all()
    assert not (tmp_path / "out" / "figures" / "dice.png").exists()
    assert (tmp_path / "out" / "figures" / "convergence-demo.png").exists()


def test_folder_that_is_no_report_is_not_replaced(tmp_path):
    write_run(tmp_path, config(), [0.5])
    precious = tmp_path / "mine"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    (precious / "index.html").write_text("my home page")
    with pytest.raises(StoreError, match=r"^--out .*mine: exists and is not a rep.*Name another"):
        write_report(Request(tmp_path), precious)
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_report_does_not_lie_in_parts_of_results(tmp_path):
    write_run(tmp_path / "results", config(), [0.5])
    for name in ("runs/new", "cache", "networks/deep/new"):
        out = tmp_path / "results" / name
        with pytest.raises(
            BenchError, match=rf"^--out .*: lies in the {name.split('/')[0]} of the"
        ):
            write_report(Request(tmp_path / "results"), out)
        assert not out.exists()


def test_report_replaces_neither_its_own_results_nor_foreign_files(tmp_path):
    write_run(tmp_path / "results", config(), [0.5])
    out = tmp_path / "out"
    write_report(Request(tmp_path / "results"), out)
    shutil.copytree(tmp_path / "results", out / "tables" / "results")
    with pytest.raises(StoreError, match=r"^--out .*out: holds the results themselves"):
        write_report(Request(out / "tables" / "results"), out)
    shutil.rmtree(out / "tables" / "results")
    write_report(Request(tmp_path / "results"), out)
    for mine in ("thesis.txt", "tables/thesis.txt", "figures/drafts/one.png"):
        (out / mine).parent.mkdir(exist_ok=True)
        (out / mine).write_text("years of work")
        with pytest.raises(StoreError, match=r"^--out .*out: holds \S+, which no report wrote,"):
            write_report(Request(tmp_path / "results"), out)
        assert (out / mine).read_text() == "years of work"
        (out / mine).unlink()


def test_report_that_fails_leaves_the_former_one(tmp_path, monkeypatch):
    write_run(tmp_path, config(), [0.5, 0.6])
    write_report(Request(tmp_path), tmp_path / "out")
    before = (tmp_path / "out" / "index.html").read_bytes()
    with pytest.raises(ConfigError, match="must be one of val_dice"):
        write_report(Request(tmp_path, select="luck"), tmp_path / "out")
    assert (tmp_path / "out" / "index.html").read_bytes() == before


def test_only_the_runs_of_an_experiment(tmp_path):
    from bench.analysis.reading.expected import expected_runs

    expected = expected_runs("demo")
    for settings in expected[:4]:
        write_run(tmp_path, settings, [0.5, 0.6])
    write_run(tmp_path, config(), [0.5, 0.6])
    found = find(Request(tmp_path, experiment="demo"))
    assert len(found.records.summaries) == 4
    assert {m for m in found.missing.query("what == 'not run'")["metric"]} == {
        own["metric"]["name"] for own in expected[4:]
    }
    assert len(find(Request(tmp_path)).records.summaries) == 5


def test_experiment_without_runs_or_name_is_refused(tmp_path):
    write_run(tmp_path, config(), [0.5])
    with pytest.raises(StoreError, match=r"^--experiment demo: none of the 1 runs belongs to"):
        find(Request(tmp_path, experiment="demo"))
    with pytest.raises(ConfigError, match=r"^--experiment dem: must be one of answer, answer_netw"):
        find(Request(tmp_path, experiment="dem"))


def test_command_notes_that_runs_are_compared_apart_and_calls_nothing_missing(tmp_path):
    write_run(tmp_path, config(), [0.5, 0.6])
    write_run(tmp_path, config(metric="mse"), [0.5, 0.6, 0.7])
    done = CliRunner().invoke(app, ["report", "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (
        "note: demo: runs differ in data or test pairs, so each of these has separate tables: "
        "demo (2 test pairs); demo (3 test pairs)\n"
    ) in done.output
    assert "missing: note" not in done.output
    page = (tmp_path / "report" / "index.html").read_text()
    assert re.search(r'<p class="warning">\d+ missing results? and 1 note\. ', page)


def test_command_writes_the_report_and_says_what_is_missing(tmp_path):
    write_run(tmp_path, config(), [0.5, 0.6])
    start_run(tmp_path, config(seed=1))
    done = CliRunner().invoke(app, ["report", "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "missing: demo ncc, weight 1, seed 1, interrupted: stopped before" in done.output
    assert f"{tmp_path / 'report' / 'index.html'}: 1 finished run" in done.output
    assert (tmp_path / "report" / "index.html").exists()


def test_report_of_perception_alone_is_called_so_and_has_no_empty_parts(tmp_path):
    stored = Path(__file__).parents[2] / "docs" / "results" / "perception"
    write_report(Request(stored, "hippocampus-[mn]*"), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<title>Perception report</title>" in page
    assert "<h1>Perception report</h1>" in page
    assert "Statistics" not in page
    tables = {path.name for path in (tmp_path / "report" / "tables").iterdir()}
    assert {"runs.csv", "perception.csv", "perception.md"} <= tables
    for name in ("results.csv", "statistics.csv", "equal_smoothness.csv", "conclusions.md"):
        assert name not in tables
    write_report(Request(stored, "hippocampus-[mn]*"), tmp_path / "report")  # takes its place


def test_skipped_runs_are_no_missing_results(tmp_path):
    write_run(tmp_path, config(), [0.5, 0.6])
    for seed in (0, 1):
        settings = config(metric="dice", seed=seed)
        fail_run(tmp_path, settings, "skipped", "metric=dice cannot be used")
    fail_run(tmp_path, config(metric="mse"), "failed")
    done = CliRunner().invoke(app, ["report", "--results", str(tmp_path)])
    lines = done.output.splitlines()
    assert "skipped: demo dice: metric=dice cannot be used" in lines
    assert len([line for line in lines if line.startswith("skipped")]) == 1
    assert any(x.startswith("missing: demo mse, weight 1, seed 0, failed: run ") for x in lines)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<p>1 finished run of 2, and 2 skipped, from" in page
    assert re.search(r'<p class="warning">\d missing results? and 2 skipped runs\. ', page)


@pytest.mark.parametrize("shared", [True, False])
def test_training_of_a_network_for_every_weight_is_said_to_be_for_all(shared, tmp_path):
    network = {"network": {"name": "n", "training_seconds": 60.0}} if shared else {}
    write_run(tmp_path, config(), [0.5, 0.6], **network)
    write_report(Request(tmp_path), tmp_path / "report")
    table = (tmp_path / "report" / "tables" / "results.md").read_text()
    assert ("is that network's, for all λ together." in table) == shared


def test_report_imports_no_torch(tmp_path):
    write_run(tmp_path, config(), [0.5, 0.6])
    code = (
        "import sys; from pathlib import Path; from bench.cli.commands import app; "
        f"app(['report', '--results', {str(tmp_path)!r}], standalone_mode=False); "
        "print(sorted({'torch', 'monai', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_listing_runs_imports_nothing_of_the_report():
    code = (
        "import sys, bench.cli.commands; "
        "print({'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
