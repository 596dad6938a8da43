import numpy as np
import pandas as pd
import pytest

from bench.analysis.numbers.ranking import rank
from bench.analysis.reading.published_values import published_results
from bench.analysis.report.main_table import results_table, spread
from bench.analysis.report.markup import Cell, Table, escape_latex, html, latex, markdown
from bench.analysis.report.tables import class_table, statistics_table

ROWS = pd.DataFrame(
    {
        "comparison": ["demo"] * 4 + ["brain"] * 3,
        "lead": "dice",
        "label": ["unregistered", "mse", "ncc", "vgg", "unregistered", "mse", "ncc"],
        "weight": [np.nan, 0.02, 0.5, np.nan, np.nan, 1, 2],
        "at_border": [None, False, True, None, None, False, False],
        "n": [4, 4, 3, np.nan, 2, 2, 2],
        "left_out": [0, 0, 1, np.nan, 0, 0, 0],
        "dice": [0.9, 0.6, 0.7, np.nan, 0.1, 0.5, 0.4],
        "dice_std": [0.1, 0.1, 0.1, np.nan, 0.1, np.nan, 0.1],
        "hd95": [1.0, 2.0, 3.0, np.nan, 9.0, 5.0, 4.0],
        "gain": [np.nan, -0.3, -0.2, np.nan, np.nan, 0.4, 0.3],
    }
)
PAIRS = pd.DataFrame(
    {
        "comparison": ["demo", "demo", "brain"],
        "score": ["dice", "hd95", "dice"],
        "first": ["mse"] * 3,
        "second": ["ncc"] * 3,
        "p_holm": [0.2, 0.01, 0.04],
    }
)


def cells(table, comparison, label):
    for row in table.rows:
        if (row[0].text, row[1].text) == (comparison, label):
            return dict(zip(table.headings, row, strict=True))
    raise KeyError(label)


@pytest.fixture
def table():
    return results_table(ROWS, PAIRS, "results", "Test scores.")


def test_best_and_second_follow_the_direction_of_the_score(table):
    first, second = cells(table, "demo", "mse"), cells(table, "demo", "ncc")
    assert (first["Dice ↑"].mark, second["Dice ↑"].mark) == ("second", "best")
    assert (first["HD95 [mm] ↓"].mark, second["HD95 [mm] ↓"].mark) == ("best", "second")
    assert cells(table, "brain", "mse")["Dice ↑"].mark == "best"


def test_quantiles_over_pairs_stand_behind_their_score():
    rows = ROWS.assign(tre=[7.0, 5.0, 4.0, np.nan, 9.0, 5.0, 4.5], tre_p70=7.25)
    assert "TRE (70 % of pairs) [mm] ↓" not in results_table(rows, PAIRS, "results", "").headings
    rows["lead"] = "tre"
    table = results_table(rows, PAIRS, "results", "Test scores.")
    place = table.headings.index("TRE [mm] ↓")
    assert table.headings[place + 1 : place + 3] == ["Δ TRE [mm]", "TRE (70 % of pairs) [mm] ↓"]
    assert cells(table, "demo", "mse")["TRE (70 % of pairs) [mm] ↓"].text == "7.25"


def test_unregistered_pairs_do_not_compete(table):
    assert cells(table, "demo", "unregistered")["Dice ↑"].mark == ""


def test_what_does_not_differ_significantly_from_the_best_is_marked(table):
    assert cells(table, "demo", "mse")["Dice ↑"].tied
    assert not cells(table, "demo", "ncc")["Dice ↑"].tied
    assert not cells(table, "demo", "ncc")["HD95 [mm] ↓"].tied
    assert not cells(table, "brain", "ncc")["Dice ↑"].tied


def test_cells_say_what_is_left_out_and_at_the_border(table):
    row = cells(table, "demo", "ncc")
    assert (row["pairs"].text, row["λ"].text) == ("3 of 4", "0.5 (border)")
    assert row["Δ Dice"].text == "−0.200"
    assert cells(table, "demo", "vgg")["Dice ↑"].text == "–"
    assert cells(table, "brain", "mse")["Dice ↑"].text == "0.500"


def test_columns_that_nobody_fills_are_left_out(table):
    assert "SD log J ↓" not in table.headings
    assert "papers' Dice" not in table.headings


def test_main_table_has_what_there_is_to_compare():
    further = ("tre_median", "ndv", "similarity", "dice_published", "logj_var_published")
    rows = ROWS.assign(**dict.fromkeys(further, 0.3), seconds=2.0, inverse_consistency=1.0)
    rows["hd95_left_out"] = 0.0
    shown = results_table(rows, PAIRS, "results", "").headings
    assert shown[:2] == ["data set", "method"]
    assert {"Time per pair [s] ↓", "Inverse consistency error [mm] ↓"} <= set(shown)
    assert not [one for one in shown if "published" in one or "left out" in one or "NDV" in one]
    assert len(shown) == 9
    lost = rows.assign(hd95_left_out=[0, 0, 0.5, np.nan, 0, 0, 0])
    assert "HD95: classes left out ↓" in results_table(lost, PAIRS, "results", "").headings
    beside = results_table(rows.assign(published=np.nan), PAIRS, "results", "").headings
    assert {"Dice (published) ↑", "Var log J (published) ↓"} <= set(beside)


def test_equal_means_share_a_place_and_one_alone_has_none():
    assert rank(pd.Series({"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.1}), "dice") == {
        "a": "best",
        "b": "best",
        "c": "second",
    }
    assert rank(pd.Series({"a": 1.0, "b": np.nan}), "dice") == {}


def test_spread_without_deviation():
    assert spread(0.12345, None, 3) == "0.123"
    assert spread(0.12345, float("nan"), 3) == "0.123"
    assert spread(0.12345, 0.01, 2) == "0.12 ± 0.01"


MARKED = Table(
    "t",
    "A & B",
    ["metric", "Dice ↑"],
    1,
    [[[Cell("a_b"), Cell("1 ± 2", 1, "best")]], [[Cell("<c|d>"), Cell("0", 0, "second", True)]]],
)


def test_markdown_by_hand():
    assert markdown(MARKED) == (
        "A & B\n\n| metric | Dice ↑ |\n| --- | ---: |\n| a_b | **1 ± 2** |\n"
        "| &lt;c\\|d&gt; | <u>0</u> ≈ |\n"
    )


def test_latex_by_hand():
    assert latex(MARKED).splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{A \& B}",
        r"\label{tab:t}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"metric & Dice $\uparrow$ \\",
        r"\midrule",
        r"a\_b & \textbf{1 $\pm$ 2} \\",
        r"\midrule",
        r"<c|d> & \underline{0}$^{\approx}$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_latex_reads_every_character_as_itself():
    assert escape_latex(r"50% of a_b \ λ") == r"50\% of a\_b \textbackslash{} $\lambda$"


def test_html_escapes_and_tells_what_to_sort_by():
    written = html(MARKED)
    assert '<td data-value="1"><b>1 ± 2</b></td>' in written
    assert '<th scope="row" class="text">&lt;c|d&gt;</th>' in written
    assert '<th scope="col"><button type="button">Dice ↑</button></th>' in written
    assert "<u>0</u><sup>≈</sup>" in written
    assert "<caption><span>A &amp; B</span></caption>" in written


def test_class_that_no_pair_has_is_absent():
    rows = pd.DataFrame(
        {
            "comparison": "demo",
            "class": ["x", "ghost"] * 3,
            "label": ["unregistered"] * 2 + ["mse"] * 2 + ["ncc"] * 2,
            "n": [3, 0] * 3,
            "dice": [0.9, np.nan, 0.5, np.nan, 0.6, np.nan],
            "dice_std": [0.1, np.nan] * 3,
        }
    )
    table = class_table(rows, "classes")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["x", "3", "0.900 ± 0.100", "0.500 ± 0.100", "0.600 ± 0.100"],
        ["ghost", "0", "absent", "absent", "absent"],
    ]
    assert [cell.mark for cell in table.rows[0]] == ["", "", "", "second", "best"]


@pytest.mark.parametrize("published", [True, False])
def test_published_test_is_shown_on_request_and_named_so(published):
    pairs = pd.DataFrame(
        {"first": ["a"], "second": ["b"], "n": [9], "left_out": [1], "units": [8]}
        | {"difference": [-0.01], "low": [-0.02], "high": [0.0], "p": [0.03], "p_holm": [0.00001]}
        | {"rank_biserial": [-0.5], "cohens_d": [-0.2]}
    )
    table = statistics_table(pairs, "s", "Statistics.", published)
    texts = [cell.text for cell in table.rows[0]]
    assert texts[:7] == ["a", "b", "9", "1", "8", "−0.0100", "−0.0200 to +0.0000"]
    assert texts[7:9] == ["< 0.0001", "−0.50"]
    assert texts[9:] == (["0.0300", "−0.20"] if published else [])
    assert any("(published)" in heading for heading in table.headings) is published


def test_weight_that_no_validation_chose_says_so():
    table = results_table(ROWS.assign(blind=ROWS["label"] == "ncc"), PAIRS, "results", "")
    assert cells(table, "demo", "ncc")["λ"].text == "0.5 (not validated)"
    assert cells(table, "demo", "mse")["λ"].text == "0.02"


def test_published_table_has_the_papers_best():
    """MIA 2023: DeepSim over the segmenter is best on brain, NCC with labels on hippocampus."""
    table = results_table(published_results(), pd.DataFrame(), "published", "")
    best = {
        row[0].text: row[1].text
        for row in table.rows
        if dict(zip(table.headings, row, strict=True))["Dice (published) ↑"].mark == "best"
    }
    assert best["brain"] == "deepsim_seg"
    assert best["hippocampus"] == "ncc_sup"
    assert best["platelet_em"] == "deepsim_ae"
    assert best["phc_u373"] == "ncc_sup"
