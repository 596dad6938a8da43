"""Dice at equal smoothness, what noise costs, and the sentences on both: planted, and found."""

import numpy as np
import pandas as pd
import pytest
from synthetic_store import config, write_run

from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.findings import Request, find
from bench.analysis.numbers.fronts import COMMON, Front, compare_fronts
from bench.analysis.numbers.noise import noise_losses
from bench.analysis.numbers.over_datasets import OVER_ALL, count_wins
from bench.analysis.reading.records import read_records
from bench.analysis.report.tables import wins_table
from bench.analysis.report.writing import write_report
from bench.scores.registry import SCORES

PAIRS = 12
SPREAD = np.linspace(-0.1, 0.1, PAIRS)
SCALES = {"ncc": 1.0, "mse": 1.1, "syn": 1.25}  # of the spread: no two differences are equal
PATHS = {  # by metric: λ, mean Dice, SD log J; the best validation Dice is at the last λ
    "ncc": [(4.0, 0.4, 0.02), (2.0, 0.5, 0.04), (1.0, 0.7, 0.08)],
    "mse": [(4.0, 0.5, 0.03), (2.0, 0.6, 0.05), (1.0, 0.72, 0.10)],
}


def write_path(results, metric, noise=None, lost=0.0, rougher=0.0, pairs=PAIRS, **more):
    for weight, dice, smoothness in PATHS[metric]:
        settings = config(metric=metric, weight=weight)
        if noise is not None:
            settings["dataset"]["added_noise"] = noise
        write_run(
            results,
            settings,
            (dice + SCALES[metric] * SPREAD - lost * (1 + SPREAD))[:pairs],
            val_dice=dice,
            sdlogj=np.full(pairs, smoothness + rougher),
            variant=f"{metric}-{noise}",
            data=("f" if noise is None else "e") * 64,
            **more,
        )


def write_syn(results, dice, smoothness, noise=None):
    settings = config(metric="syn")
    settings["model"] = {"name": "syn", "uses": []}
    if noise is not None:
        settings["dataset"]["added_noise"] = noise
    write_run(
        results,
        settings,
        dice + SCALES["syn"] * SPREAD,
        sdlogj=np.full(PAIRS, smoothness),
        variant=f"syn-{noise}",
        data=("f" if noise is None else "e") * 64,
    )


@pytest.fixture
def results(tmp_path):
    for metric in PATHS:
        write_path(tmp_path, metric)
    return tmp_path


def texts(results):
    return [said.text for said in find(Request(results)).conclusions]


def test_front_is_linear_between_weights(results):
    (comparison,) = compare(read_records(results))
    front = Front.of(next(entry for entry in comparison.entries if entry.metric == "ncc"))
    assert front.smoothness == pytest.approx([0.02, 0.04, 0.08])
    assert front.at(0.05) == pytest.approx(0.55 + SPREAD)
    assert front.at(0.04) == pytest.approx(0.5 + SPREAD)
    assert front.at(0.02) == pytest.approx(0.4 + SPREAD)
    assert not front.reaches(0.01)
    assert not front.reaches(0.09)


def test_methods_are_compared_where_the_smoothest_of_them_is(results):
    (comparison,) = compare(read_records(results))
    means, tests = compare_fronts(comparison)
    assert set(means["level"]) == {COMMON}
    assert means["sdlogj"].tolist() == pytest.approx([0.08, 0.08])  # of ncc, under its λ
    dice = means.set_index("label")["mean"]
    assert dice["ncc"] == pytest.approx(0.7)
    assert dice["mse"] == pytest.approx(0.6 + 0.12 * 3 / 5)
    (row,) = tests.to_dict("records")
    assert abs(row["difference"]) == pytest.approx(0.7 - 0.672)
    assert row["p_holm"] < 0.001


def test_method_without_a_weight_sets_a_smoothness(results):
    write_syn(results, 0.65, 0.03)
    (comparison,) = compare(read_records(results))
    means, _ = compare_fronts(comparison)
    beside = means[means["level"] == "syn"].set_index("label")["mean"]
    assert beside.to_dict() == pytest.approx({"syn": 0.65, "ncc": 0.45, "mse": 0.5})


def test_fronts_that_never_meet_are_not_compared(tmp_path):
    write_path(tmp_path, "ncc")
    write_path(tmp_path, "mse", rougher=1.0)
    (comparison,) = compare(read_records(tmp_path))
    means, tests = compare_fronts(comparison)
    assert means.empty
    assert tests.empty


def test_noise_costs_what_was_planted(results):
    write_path(results, "ncc", noise=0.2, lost=0.1, rougher=0.01)
    write_path(results, "mse", noise=0.2, lost=0.3, rougher=-0.01)
    losses = find(Request(results)).losses.set_index("label")
    assert losses["loss"].to_dict() == pytest.approx({"ncc": 0.1, "mse": 0.3})
    assert losses["roughening"].to_dict() == pytest.approx({"ncc": 0.01, "mse": -0.01})
    assert set(losses["noise"]) == {0.2}
    (said,) = (text for text in texts(results) if text.startswith("Noise of 0.2"))
    assert "ncc −0.100 (−0.103 to −0.097; SD log J +0.010), mse −0.300" in said
    assert said.endswith("Significantly larger losses than ncc: mse.")


def test_losses_of_metrics_are_compared_apart_from_methods_without_one(results):
    write_path(results, "ncc", noise=0.2, lost=0.1)
    write_path(results, "mse", noise=0.2, lost=0.3)
    write_syn(results, 0.65, 0.03)
    write_syn(results, 0.65, 0.03, noise=0.2)
    (said,) = (text for text in texts(results) if text.startswith("Noise of 0.2"))
    assert said.startswith("Noise of 0.2 changes Dice: syn −0.000")
    assert said.endswith("Significantly larger losses than ncc: mse.")
    _, tests = noise_losses(compare(read_records(results)))
    assert tests.set_index(["first", "second"])["tests"].to_dict() == {
        ("mse", "ncc"): 1,
        ("mse", "syn"): 2,
        ("ncc", "syn"): 2,
    }


def test_losses_on_few_pairs_cannot_differ(tmp_path):
    for metric, lost in (("ncc", 0.1), ("mse", 0.3)):
        write_path(tmp_path, metric, pairs=5)
        write_path(tmp_path, metric, noise=0.2, lost=lost, pairs=5)
    (said,) = (text for text in texts(tmp_path) if text.startswith("Noise of 0.2"))
    assert said.endswith("). With so few pairs no difference can be significant.")


def test_tests_of_neighbouring_sections_are_said_to_be_dependent(tmp_path):
    sections = {
        "moving": [f"{i:03d}" for i in range(PAIRS)],
        "fixed": [f"{i + 1:03d}" for i in range(PAIRS)],
    }
    for metric in PATHS:
        write_path(tmp_path, metric, **sections)
    *_, last = texts(tmp_path)
    assert last.startswith("The test pairs share images, as neighbouring sections and frames do")


def test_metrics_of_intensities_are_set_against_the_best_learned_features(results, monkeypatch):
    monkeypatch.setitem(PATHS, "deepsim_ae", [(4.0, 0.45, 0.02), (1.0, 0.68, 0.09)])
    monkeypatch.setitem(PATHS, "deepsim_seg", [(4.0, 0.4, 0.02), (1.0, 0.5, 0.09)])
    monkeypatch.setitem(SCALES, "deepsim_ae", 1.3)
    monkeypatch.setitem(SCALES, "deepsim_seg", 0.8)
    write_path(results, "deepsim_ae")
    write_path(results, "deepsim_seg")
    chosen, equal = (text for text in texts(results) if "learned features" in text)
    assert chosen.startswith(
        "deepsim_ae is the best metric with learned features: Dice 0.680. Significantly higher: "
        "mse (+0.040, "
    )
    assert equal.startswith(
        "At equal smoothness deepsim_ae is the best metric with learned features: Dice 0.647. "
        "Significantly higher: ncc (+0.053, "
    )
    assert "mse (+0.025, " in equal
    assert "deepsim_seg" not in equal + chosen


def test_sentences_say_who_is_best_and_by_how_much(results):
    write_syn(results, 0.65, 0.03)
    best, equal, beside, gains, border, over_syn = texts(results)
    assert best.startswith("mse has the highest Dice, 0.720 (95 % interval 0.6")
    assert (
        "12 test pairs). Significantly lower: ncc (−0.020, p = 0.00049), syn (−0.070" in best
    )  # p as without syn
    assert equal.startswith("At equal smoothness (SD log J 0.080) ncc has the highest Dice, 0.700")
    assert beside.startswith(
        "At the smoothness of syn (SD log J 0.030), syn has a Dice of 0.650. "
        "Significantly lower: mse (−0.150, −0.1"
    )
    assert beside.endswith(", p = 0.00098).")
    begin = "Unregistered pairs have a Dice of 0.300. Significantly higher: mse (+0.420, +0.3"
    assert gains.startswith(begin)
    assert gains.endswith(", p = 0.0015).")
    assert border == (
        "The best λ of mse and ncc is the smallest or largest tried. A λ beyond it may be better."
    )
    assert over_syn.startswith("syn has a Dice of 0.650. Significantly higher: mse (+0.070, +0.06")
    assert "ncc (+0.050, +0.0" in over_syn


def test_border_says_which_networks_know_further_weights(results):
    shared = {"name": "demo-mind-lambda-seed0-0", "training_seconds": 60.0}
    for weight, dice in ((1.0, 0.5), (2.0, 0.6)):
        settings = config(metric="mind", weight=weight)
        dices = dice + 0.9 * SPREAD
        write_run(results, settings, dices, val_dice=dice, variant="mind-None", network=shared)
    (border,) = (text for text in texts(results) if text.startswith("The best λ of"))
    assert border.endswith(
        "A λ beyond it may be better. Within model.lambda_range, mind can be tested there without "
        "training."
    )


def test_metrics_are_measured_by_each_method_without_one(results):
    write_syn(results, 0.71 - 0.2 * SPREAD, 0.03)
    (said,) = (text for text in texts(results) if text.startswith("syn has a Dice of 0.710"))
    better, _, worse = said.partition(". Significantly lower: ")
    assert "Significantly higher: mse (+0.010, " in better
    assert worse.startswith("ncc (−0.010, ")


def test_only_method_is_measured_by_the_unregistered_pairs(tmp_path):
    write_run(tmp_path, config(), 0.5 + SPREAD)
    (said,) = find(Request(tmp_path)).headlines
    begin = "ncc raises Dice from 0.300 unregistered to 0.500 (+0.200, 95 % interval +0.1"
    assert said.text.startswith(begin)
    ending = ", p = 0.00049, 12 test pairs). No other method was run."
    assert said.text.endswith(ending)
    (gain,) = texts(tmp_path)
    assert gain.startswith("Unregistered pairs have a Dice of 0.300. Significantly higher: ncc (")


@pytest.mark.parametrize(
    ("dice", "words"),
    [
        (0.3 + SPREAD, " test pairs). The change is not significant. No other method was run."),
        (0.1 + SPREAD, "ncc lowers Dice from 0.300 unregistered to 0.100 (−0.200, "),
        (0.5 + SPREAD[:3], ". So few pairs cannot show a significant change."),
        ([0.5], "ncc changes Dice from 0.300 unregistered to 0.500 (+0.200, 1 test pair). So few"),
    ],
)
def test_what_the_only_method_changes_is_said_as_it_is(tmp_path, dice, words):
    write_run(tmp_path, config(), dice)
    (said,) = find(Request(tmp_path)).headlines
    assert words in said.text


def test_few_pairs_conclude_nothing(tmp_path):
    for metric, dice in (("ncc", 0.5), ("mse", 0.9)):
        write_run(tmp_path, config(metric=metric), np.full(4, dice) + SPREAD[:4], variant=metric)
    (said,) = texts(tmp_path)
    ending = "4 test pairs). With so few pairs no difference can be significant: ncc −0.400."
    assert said.endswith(ending)


def test_headline_names_the_best_and_who_cannot_be_told_from_it(results):
    write_syn(results, 0.45, 0.06)
    (said,) = find(Request(results)).headlines
    assert said.about == "demo"
    assert said.text.startswith("mse has the highest mean Dice, 0.720 (95 % interval 0.")
    assert said.text.endswith(
        ", 12 test pairs; unregistered 0.300). All others are significantly lower."
    )


def test_headline_says_where_the_unregistered_pairs_are_better(tmp_path):
    for metric, dice in (("mse", 0.2), ("ncc", 0.1)):
        write_run(tmp_path, config(metric=metric), dice + SCALES[metric] * SPREAD)
    (said,) = find(Request(tmp_path)).headlines
    assert said.text.startswith(
        "Unregistered pairs have the highest mean Dice. The best method is mse with 0.2"
    )
    assert "test pairs; unregistered 0.300). All others" in said.text


def test_headline_of_methods_that_are_alike_or_of_too_few_pairs(tmp_path):
    for metric, sign in (("mse", 1), ("ncc", -1), ("vgg", 1)):
        wave = sign * 0.01 * np.sin(np.arange(PAIRS))
        write_run(tmp_path, config(metric=metric), 0.5 + SPREAD + wave - 0.2 * (metric == "vgg"))
    (said,) = find(Request(tmp_path)).headlines
    first, _, second = said.text.partition(" has the highest mean Dice")
    assert {first, "mse", "ncc"} == {"mse", "ncc"}
    other = ({"mse", "ncc"} - {first}).pop()
    ending = f". Not significantly lower: {other}. All others are significantly lower."
    assert second.endswith(ending)
    few = tmp_path / "few"
    for metric in ("mse", "ncc"):
        write_run(few, config(metric=metric), [0.5, 0.6] if metric == "mse" else [0.4, 0.5])
    (said,) = find(Request(few)).headlines
    ending = ". With so few pairs no difference can be significant (next: ncc −0.100)."
    assert said.text.endswith(ending)


def test_pairs_that_are_too_few_for_so_many_tests_tell_nothing_apart(tmp_path):
    for number, metric in enumerate(("mse", "ncc", "nmi", "mind", "vgg", "dice")):
        steps = 0.001 * number * np.arange(1, 10)
        write_run(tmp_path, config(metric=metric), 0.8 - steps, variant=metric)
    (said,) = find(Request(tmp_path)).headlines
    ending = ". With so few pairs no difference can be significant (next: ncc −0.005)."
    assert said.text.endswith(ending)  # 15 tests of 9 pairs
    two = tmp_path / "two"
    for metric in ("mse", "ncc"):
        write_run(two, config(metric=metric), 0.8 - 0.01 * (metric == "ncc") * np.arange(1, 10))
    (said,) = find(Request(two)).headlines
    assert said.text.endswith(". All others are significantly lower.")


def test_methods_whose_best_weight_is_an_end_of_those_tried_are_named(tmp_path):
    for metric, best in (("mse", 4.0), ("ncc", 2.0)):
        for weight in (1.0, 2.0, 4.0):
            settings = config(metric=metric, weight=weight)
            good = 0.8 if weight == best else 0.5
            write_run(tmp_path, settings, 0.5 + SPREAD, val_dice=good, variant=metric)
    (said,) = (text for text in texts(tmp_path) if text.startswith("The best λ"))
    assert "λ of mse is" in said


def write_mind(results, *smoothness):
    """The worst metric, under two λ of these smoothnesses."""
    for weight, dice, sdlogj in zip((2.0, 1.0), (0.3, 0.4), smoothness, strict=True):
        write_run(
            results,
            config(metric="mind", weight=weight),
            dice + SPREAD,
            val_dice=dice,
            sdlogj=np.full(PAIRS, sdlogj),
            variant="mind",
        )


def test_fronts_that_meet_are_compared_though_another_does_not_reach_them(results):
    write_mind(results, 0.3, 0.5)
    (comparison,) = compare(read_records(results))
    means, tests = compare_fronts(comparison)
    assert set(means["label"]) == {"ncc", "mse"}
    assert means["sdlogj"].tolist() == pytest.approx([0.08, 0.08])
    assert len(tests) == 1
    (said,) = (text for text in texts(results) if text.startswith("At equal smoothness"))
    assert said.endswith(
        "Significantly lower: mse (−0.028, p = 0.00049). No λ of mind reaches this smoothness."
    )


def test_of_equally_many_methods_those_with_the_best_are_compared(results):
    write_mind(results, 0.005, 0.025)  # meets ncc, but not mse, which is the best
    means, _ = compare_fronts(*compare(read_records(results)))
    assert set(means["label"]) == {"ncc", "mse"}


def test_pairs_in_both_directions_are_counted_and_tested_as_groups(tmp_path):
    names = [f"{number:03d}" for number in range(PAIRS)]
    fixed = [names[number ^ 1] for number in range(PAIRS)]
    for metric, dice in (("ncc", 0.7), ("mse", 0.6)):
        scores = dice + SCALES[metric] * SPREAD
        write_run(tmp_path, config(metric=metric), scores, moving=names, fixed=fixed)
    found = find(Request(tmp_path))
    (said,) = found.headlines
    assert "12 test pairs in 6 groups; unregistered 0.300). All others" in said.text
    row = found.pairs[found.pairs["score"] == "dice"].iloc[0]
    assert (row["n"], row["units"], row["p"]) == (12, 6, 2 / 2**6)
    friedman = found.friedman[found.friedman["score"] == "dice"]
    assert friedman["units"].tolist() == [6]


def test_mean_of_one_pair_has_no_interval(tmp_path):
    for metric, dice in (("ncc", 0.7), ("mse", 0.6)):
        write_run(tmp_path, config(metric=metric), [dice])
    (said,) = find(Request(tmp_path)).headlines
    assert said.text.startswith("ncc has the highest mean Dice, 0.700 (1 test pair; unregistered")


def write_sets(results, wins):
    """Data sets on which deepsim_seg is ahead of ncc at equal smoothness, or behind."""
    for dataset, ahead in wins.items():
        for metric, sign in (("ncc", 1), ("deepsim_seg", 1 + 0.1 * ahead)):
            for weight, smoothness in ((1.0, 0.08), (2.0, 0.04)):
                write_run(
                    results,
                    config(dataset, metric, weight),
                    sign * (0.5 + SPREAD),
                    sdlogj=np.full(PAIRS, smoothness),
                    variant=metric,
                )


def test_sets_on_which_learned_features_are_ahead_are_counted(tmp_path):
    write_sets(tmp_path, {"brain": 1, "demo": -1, "oasis": -1})
    found = find(Request(tmp_path))
    (said,) = (said.text for said in found.conclusions if said.about == OVER_ALL)
    assert said == (
        "At equal smoothness, on data sets with enough pairs to tell, deepsim_seg is significantly "
        "better than ncc on 1 of 3. It is significantly worse than ncc on 2 of 3."
    )
    wins = count_wins(found.comparisons, found.front_pairs).set_index(["first", "second"])
    assert wins.loc[("ncc", "deepsim_seg")].tolist() == [2, 1, 3]
    assert wins.loc[("deepsim_seg", "ncc")].tolist() == [1, 2, 3]
    (table,) = (wins_table(OVER_ALL, wins.reset_index()),)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["ncc", "–", "2 / 1 of 3"],
        ["deepsim_seg", "1 / 2 of 3", "–"],
    ]


def test_one_data_set_counts_nothing_over_data_sets(tmp_path):
    write_sets(tmp_path, {"brain": 1})
    assert OVER_ALL not in {said.about for said in find(Request(tmp_path)).conclusions}


def test_noise_is_ranked_by_itself_and_the_least_error_ranks_first(tmp_path):
    nothing = np.full(PAIRS, np.nan)
    for i, dataset in enumerate(("a", "b", "c", "d")):
        for noise in (None, 0.1):
            for j, metric in enumerate(("mse", "ncc", "mind")):
                settings = config(dataset, metric)
                settings["dataset"]["added_noise"] = noise
                place = j if noise is None else -j
                scores = {"dice": 0.5 + 0.1 * place * (1 + SPREAD)}
                if i == 0:  # without labels
                    scores = {"dice": nothing, "tre": 5 - place * (1 + SPREAD)}
                write_run(tmp_path, settings, **scores, variant=f"{metric}{noise}")
    found = [said for said in find(Request(tmp_path)).conclusions if "Mean ranks" in said.text]
    assert [said.about for said in found] == [OVER_ALL, f"{OVER_ALL} (noise 0.1)"]
    assert "(at least 4 are needed): mind 1.0, ncc 2.0, mse 3.0." in found[0].text
    assert "mse 1.0, ncc 2.0, mind 3.0." in found[1].text
    ending = "the critical difference is 1.7 (Nemenyi, 5 %). Not significantly behind the first: "
    assert found[0].text.endswith(f"(Friedman's test, p = 0.018); {ending}ncc.")


def test_ranks_that_friedmans_test_does_not_tell_apart_are_told_so(tmp_path):
    for i, dataset in enumerate(("a", "b", "c", "d")):
        for j, metric in enumerate(("mse", "ncc", "mind")):
            dice = 0.5 + 0.1 * ((i + j) % 3) * (1 + SPREAD)
            write_run(tmp_path, config(dataset, metric), dice, variant=metric)
    (said,) = (c.text for c in find(Request(tmp_path)).conclusions if "Mean ranks" in c.text)
    assert said.endswith(" They do not differ significantly (Friedman's test, p = 0.78).")


@pytest.fixture
def landmarks(tmp_path):
    """Runs on a data set with landmarks and no labels: ncc is the nearer one, by 0.5 pixels."""
    for noise in (None, 0.2):
        for metric, tre in (("ncc", 3.0), ("mse", 3.5)):
            for weight, smoothness in ((0.5, 0.04), (1.0, 0.02)):
                settings = config("histology", metric, weight)
                if noise:
                    settings["dataset"]["added_noise"] = noise
                folder = write_run(
                    tmp_path,
                    settings,
                    np.full(PAIRS, np.nan),
                    val_loss=weight,
                    tre=tre + SCALES[metric] * SPREAD + (metric == "mse") * (noise or 0) * 5,
                    sdlogj=np.full(PAIRS, smoothness),
                    variant=f"{metric}-{noise}",
                )
                without_labels(folder)
    return tmp_path


def without_labels(folder):
    (folder / "classes.csv").unlink()
    pairs = pd.read_csv(folder / "pairs.csv", dtype={"moving": str, "fixed": str})
    overlap = [n + m for n in SCORES if SCORES[n].kind == "overlap" for m in ("", "_before")]
    pairs[overlap] = np.nan
    pairs.assign(tre_before=5.0).to_csv(folder / "pairs.csv", index=False)


def test_where_no_pair_has_labels_methods_are_judged_by_landmarks(landmarks):
    found = find(Request(landmarks))
    first, second = found.headlines
    assert (first.about, second.about) == ("histology", "histology (noise 0.2)")
    assert first.text.startswith("ncc has the lowest mean TRE, 3.00 mm (95 % interval 2.9")
    ending = "unregistered 5.00 mm). All others are significantly higher."
    assert first.text.endswith(ending)
    said = [said.text for said in found.conclusions if said.about == "histology"]
    best, equal, gains, _ = said
    assert best.startswith("ncc has the lowest TRE, 3.00 mm (")
    assert "Significantly higher: mse (+0.50, p = " in best
    assert equal.startswith("At equal smoothness (SD log J 0.0")
    assert "ncc has the lowest TRE" in equal
    begin = "Unregistered pairs have a TRE of 5.00 mm. Significantly lower: mse (−1.50, −1.5"
    assert gains.startswith(begin)
    noise = [said.text for said in found.conclusions if said.text.startswith("Noise of 0.2")]
    assert noise[0].startswith("Noise of 0.2 changes TRE: ncc +0.00 (")
    assert "mse +1.00 (" in noise[0]
    assert noise[0].endswith("Significantly larger losses than ncc: mse.")
    assert set(found.rows["n"]) == {PAIRS}
    assert "no value" not in set(found.missing["what"])
    assert list(found.losses["loss"]) == pytest.approx([1.0, 0.0])


def test_main_table_of_landmarks_leads_with_them_beside_that_of_labels(landmarks):
    write_run(landmarks, config("demo"), 0.5 + SPREAD)
    write_run(landmarks, config("demo", "mse"), 0.4 + SPREAD)
    write_report(Request(landmarks), landmarks / "report")
    text = (landmarks / "report" / "tables" / "results.md").read_text()
    dice, tre = text.split("The same for data sets with landmarks but no labels.")
    assert "| pairs | Dice ↑ | Δ Dice |" in dice
    assert "| pairs | TRE [mm] ↓ | Δ TRE [mm] |" in tre
    assert "Dice" not in tre
    assert "histology" not in dice
    assert "| **3.00 ± " in tre
    assert "| −2.00 |" in tre
    page = (landmarks / "report" / "index.html").read_text(encoding="utf-8")
    assert "Box plots of TRE over test pairs. histology: medians mse 3.50, ncc 3.00" in page
    statistics = (landmarks / "report" / "tables" / "statistics.md").read_text()
    assert "TRE on histology (noise 0.2), all pairs of methods." in statistics
