"""What a report says of perception: sentences, marks, counts, and what is missing."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis.numbers.extractors import extractor_rows
from bench.analysis.numbers.missing import find_missing, missing_of_perception
from bench.analysis.numbers.perception import Perceived, Variant, perceived, perception_rows
from bench.analysis.numbers.perception_sentences import perception_sentences
from bench.analysis.reading.records import Records
from bench.analysis.reading.results import read_results
from bench.analysis.report.export import export
from bench.analysis.report.markup import Table
from bench.analysis.report.perceived import write_perceived
from bench.analysis.report.perception import perception_tables
from bench.scores.of_images import IGNORES as WARNING

DOCS = Path(__file__).parents[2] / "docs"
STORED = DOCS / "results" / "perception"
SOME = "hippocampus-[mn]*"  # five metrics without extractors


@pytest.fixture(scope="module")
def stored() -> Records:
    return read_results(STORED, SOME)


@pytest.fixture
def records(stored: Records) -> Records:
    return copy.deepcopy(stored)


def judged(scores: dict[str, dict[str, list[float]]], warning: str = "") -> pd.DataFrame:
    """Rows of metrics on one data set, by their scores of images; the last one may warn."""
    variants = [
        Variant(
            metric,
            metric,
            [0],
            pd.DataFrame(of_images).dropna(axis="columns", how="all"),
            None,
            warning if metric == [*scores][-1] else "",
        )
        for metric, of_images in scores.items()
    ]
    return perception_rows([Perceived("demo", "demo", {}, variants)])


def marked(table: Table) -> dict[str, list[str]]:
    """By heading, the metrics that are bold."""
    return {
        heading: [row[1].text for row in table.rows if row[column].mark == "best"]
        for column, heading in enumerate(table.headings)
    }


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_show_no_difference_from_chance(count: int) -> None:
    rows = judged({"mse": {"geometry": [0.5] * count}, "ncc": {"geometry": [1.0] * count}})
    assert perception_sentences(rows) == [
        f"demo, {count} test image{'s' * (count > 1)}: share of pairs in which the less deformed "
        "of two images with the same MSE is nearer: ncc (1.000), mse (0.500). So few images cannot "
        "show a difference from chance, 0.5."
    ]


def test_six_images_are_enough() -> None:
    scores = {"mse": 0.5, "ncc": 1.0, "odd": 0.25}
    rows = judged({metric: {"geometry": [score] * 6} for metric, score in scores.items()})
    assert perception_sentences(rows) == [
        "demo, 6 test images: of two deformed images with the same MSE, the less deformed one is "
        "nearer according to ncc (1.000, 1.000 to 1.000). The more deformed one, whose appearance "
        "differs less, is nearer according to odd (0.250, 0.250 to 0.250). The order does not "
        "differ from chance according to mse (0.500, 0.500 to 0.500)."
    ]


def test_distrusted_metric_is_named_and_compared_with_none() -> None:
    scores = {"mse": [0.5] * 6, "ncc": [0.9] * 6, "odd": [1.0] * 6}
    named = {metric: {"geometry": values} for metric, values in scores.items()}
    said, left_out = perception_sentences(judged(named, WARNING))
    assert "odd" not in said
    assert left_out == (
        "demo: odd is left out of these sentences, of bold marks and of the comparison with "
        f"registration. {WARNING}."
    )
    table, _ = perception_tables(judged(named, WARNING))
    assert [row[1].text for row in table.rows] == ["mse", "ncc", "odd (warned)"]
    assert marked(table)["Geometry ↑"] == ["ncc"]
    assert table.caption.endswith(
        " (warned): this metric ignores the deformation and takes no part."
    )


def test_warnings_of_runs_are_read_of_any_seed_and_exported(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = records.summaries
    records.summaries[first]["warnings"] = ["images have other intensities", WARNING]
    records.summaries[second]["warnings"] = ["images have other intensities"]
    (one,) = perceived(records)
    metric = records.summaries[first]["metric"]
    assert {v.metric: v.warning for v in one.variants if v.warning} == {metric: WARNING}
    assert metric not in one.trained()
    monkeypatch.setattr("bench.analysis.report.export.read_results", lambda *_: records)
    export([STORED], tmp_path / "tables")
    (again,) = perceived(read_results(tmp_path / "tables"))
    assert [v.warning for v in again.variants] == [v.warning for v in one.variants]


def test_missing_seeds_are_named_and_noted(records: Records) -> None:
    first, *_ = records.summaries
    metric = records.summaries[first]["metric"]
    records.summaries[first]["seed"] = 1
    shown = perceived(records)
    for missing in (
        find_missing(records, [], (), shown),
        missing_of_perception(records, shown, [], []),
    ):
        assert set(missing["what"]) == {"no seed"}
        reasons = dict(zip(missing["metric"], missing["reason"], strict=True))
        assert len(reasons) == 5
        assert reasons.pop(metric).startswith("of seeds 0, 1, not 0; ")
        assert all(reason.startswith("of seeds 0, 1, not 1; ") for reason in reasons.values())
    note = "Metrics with different seeds, which draw the distortions, so that they saw different "
    assert f"{note}images: hippocampus." in perception_tables(perception_rows(shown))[0].caption
    records.summaries[first]["seed"] = 0
    shown = perceived(records)
    assert find_missing(records, [], (), shown).empty
    assert note not in perception_tables(perception_rows(shown))[0].caption


def test_best_is_bold_where_metrics_differ_and_it_is_above_chance() -> None:
    scores = {
        "mse": {"2afc": [1.0], "geometry": [0.5], "jnd": [0.4], "2afc_blur": [1.0]},
        "ncc": {"2afc": [1.0004], "geometry": [0.3], "jnd": [0.5], "2afc_blur": [0.9]},
    }
    pooled, of_each = perception_tables(judged(scores))
    assert {name: metrics for name, metrics in marked(pooled).items() if metrics} == {
        "JND ↑": ["ncc"]
    }
    assert marked(of_each)["blur"] == ["mse"]


def test_counts_that_differ_are_told() -> None:
    nothing = float("nan")
    images = {
        "geometry": [1.0, 0.9, nothing, nothing],
        "persons": [1.0, 1.0, 0.5, 1.0],
        "2afc_motion": [nothing, 1.0, nothing, nothing],
        "2afc_blur": [1.0, 1.0, nothing, nothing],
    }
    rows = judged({"mse": images, "ncc": images})
    counts = ["images", "geometry_n", "persons_n", "2afc_motion_n", "2afc_blur_n"]
    assert rows[counts].to_numpy().tolist() == [[2, 2, 4, 1, 2]] * 2
    pooled, of_each = perception_tables(rows)
    other = "Scores of another number of images, or of references: demo"
    alone = "Scores of one image alone, which have no interval: demo"
    assert pooled.caption.endswith(f" {other} Persons 4.")
    assert of_each.caption.endswith(f" {other} motion 1. {alone} motion.")
    only, _ = perception_tables(judged({"mse": {"geometry": [1.0], "2afc_blur": [1.0]}}))
    assert only.caption.endswith(f" {alone} all.")


def test_metrics_without_geometry_have_no_sentence() -> None:
    rows = judged({"mse": {"judged": [0.7, 0.8]}, "ncc": {"judged": [0.9, np.nan]}})
    assert perception_sentences(rows) == []
    table, _ = perception_tables(rows)
    assert "demo Judged 1 to 2" in table.caption


def test_extractors_are_those_of_the_runs() -> None:
    every = extractor_rows(STORED)
    runs = read_results(STORED, "hippocampus-deepsim_seg*").summaries.values()
    (used,) = (one["name"] for run in runs for one in run["extractors"])
    shown = extractor_rows(STORED, runs)
    assert list(shown["extractor"]) == [used]
    assert len(every) > 10


def test_page_names_what_is_not_compared_and_links_what_lies_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "perception.md"
    answer = DOCS / "results" / "answer"
    written = write_perceived(STORED, answer, "hippocampus-m[is]*", out, tmp_path / "images")
    text = out.read_text()
    reason = (
        "perception is not compared with registration: that needs 4 metrics with both scores, "
        "and there are 2 (mse, mind)"
    )
    assert list(written.missing["reason"]) == [reason]
    assert "## What is missing\n\n1 note.\n\n| what |" in text.replace("\n\n\n", "\n\n")
    assert reason in text
    assert "## Extractors" not in text  # these runs used none
    assert "docs/perception.md of the suite describes the tests" in text
    other = tmp_path / "other.md"
    write_perceived(STORED, answer, "hippocampus-m[is]*", other, tmp_path / "figures")
    assert "docs/perception.md of the suite describes" in other.read_text()  # that is a page, too
    out.write_text("# Perception: does a metric see what matters?\n")
    write_perceived(STORED, answer, "hippocampus-m[is]*", other, tmp_path / "figures")
    assert "[perception.md](perception.md) describes the tests" in other.read_text()
