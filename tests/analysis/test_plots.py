"""Figures show the numbers they are given; how they look is looked at."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from synthetic_store import config, write_run

from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.ranking import enough_for_ranks
from bench.analysis.numbers.results import result_rows
from bench.analysis.plots import gallery
from bench.analysis.plots.boxes import draw_boxes
from bench.analysis.plots.classes import draw_classes
from bench.analysis.plots.convergence import draw_convergence
from bench.analysis.plots.gallery import draw_published, file_name
from bench.analysis.plots.interactive.paths import place_weights, plot_front
from bench.analysis.plots.ranks import draw_ranks, joined
from bench.analysis.plots.style import (
    METRICS,
    OTHERS,
    Look,
    add_legend,
    is_dark,
    lighter,
    looks,
    new_figure,
    outline,
    point_handle,
    save,
)
from bench.analysis.plots.weights import draw_weights
from bench.analysis.reading.metrics import FURTHER_METHODS, metric_order
from bench.analysis.reading.published_values import published_weight_curves
from bench.analysis.reading.records import read_records
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.groups import options

LABELS = ("mse", "ncc", "vgg")
LOOKS = looks((label, label) for label in LABELS)
DICE = {"mse": 0.5, "ncc": 0.7, "vgg": 0.6}


@pytest.fixture
def comparison(tmp_path):
    for metric, dice in DICE.items():
        for weight in (0.0, 0.5, 1.0):
            values = dice + np.array([0.0, 0.01, -0.01, 0.02])
            settings = config("hippocampus", metric, weight)
            write_run(tmp_path, settings, values, val_dice=dice - abs(weight - 0.5))
    return compare(read_records(tmp_path))[0]


def test_boxes_show_quartiles_deciles_and_the_best_label(comparison):
    figure = draw_boxes([comparison], LOOKS)
    figure.draw_without_rendering()
    panel = figure.axes[0]
    values = comparison.scores("dice")["mse"]
    box = panel.patches[0].get_path().vertices[:, 0]
    assert (box.min(), box.max()) == pytest.approx(tuple(values.quantile([0.25, 0.75])))
    whiskers = [line.get_xdata() for line in panel.lines[:2]]
    assert whiskers[0][1] >= values.quantile(0.1)
    ticks = {tick.get_text(): tick for tick in panel.get_yticklabels()}
    assert {label: ticks[label].get_fontweight() for label in LABELS} == {
        "mse": "normal",
        "ncc": "bold",
        "vgg": "normal",
    }
    assert {tick.get_color() for tick in ticks.values()} == {"black"}


def test_a_median_is_seen_on_every_box_and_at_its_edge(comparison):
    medians = [
        line
        for drawn in draw_boxes([comparison], LOOKS).axes[0].containers
        for line in drawn.medians
    ]
    assert {(line.get_color(), len(line.get_path_effects())) for line in medians} == {("black", 1)}
    edge = 0.6
    assert all(line.get_linewidth() > 2 * edge for line in medians)


def test_three_comparisons_leave_the_fourth_panel_empty(comparison):
    panels = draw_boxes([comparison] * 3, LOOKS).axes
    assert [panel.axison for panel in panels] == [True, True, True, False]


def test_classes_are_ordered_by_their_mean_and_absent_ones_left_out(comparison):
    figure = draw_classes(comparison, LOOKS)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["large", "small"]


def test_weights_ring_the_chosen_and_stand_beside_the_papers_curves(comparison):
    figure = draw_weights(comparison, LOOKS, published_weight_curves())
    panel = figure.axes[0]
    curves = [line for line in panel.lines if len(line.get_xdata()) == 3]
    rings = [line for line in panel.lines if line.get_fillstyle() == "none"]
    assert list(curves[0].get_ydata()) == pytest.approx([0.0, 0.5, 0.0])
    assert [list(ring.get_xdata()) for ring in rings] == [[0.5]] * 3
    assert panel.get_xscale() == "symlog"
    behind = figure.axes[2]
    assert [line.get_linestyle() for line in behind.lines] == [":", ":"]


def test_ticks_are_the_weights_as_they_were_given(comparison):
    for panel in draw_weights(comparison, LOOKS, published_weight_curves()).axes[:2]:
        assert [tick.get_text() for tick in panel.get_xticklabels()] == ["0", "0.5", "1"]


def test_weights_are_a_doubling_apart_and_zero_is_below_all():
    assert place_weights([2.0, 0.25, 0.5, 0.25]) == {0.25: -2, 0.5: -1, 2.0: 1}
    assert place_weights([0.0, 0.5, 1.0]) == {0.0: -2, 0.5: -1, 1.0: 0}
    assert place_weights([0.0]) == {0.0: 0}


def test_variants_have_dashed_lines_and_hatched_boxes(comparison):
    variants = looks([("mse", "ncc"), ("ncc", "ncc"), ("vgg", "vgg")])
    lines = draw_weights(comparison, variants, published_weight_curves()).axes[0].lines
    dashed = {line.get_color() for line in lines if line.is_dashed() and len(line.get_xdata()) == 3}
    assert dashed == {variants["ncc"].color}
    boxes = draw_boxes([comparison], variants).axes[0].patches
    assert sorted(bool(box.get_hatch()) for box in boxes) == [False, False, True]


def test_interactive_plots_do_not_depend_on_what_was_drawn_before(comparison):
    first, second = (plot_front(comparison, LOOKS, "sdlogj", "front").content for _ in range(2))
    assert first == second
    assert "front-0" in first


def test_convergence_scales_losses_and_leaves_dice(comparison):
    figure = draw_convergence(comparison, LOOKS)
    loss, _, dice = figure.axes[:3]
    assert {min(line.get_ydata()) for line in loss.lines} == {0}
    assert {max(line.get_ydata()) for line in loss.lines} == {1}
    assert max(dice.lines[1].get_ydata()) == pytest.approx(0.7 * 0.99)


def test_published_scatter_has_a_panel_for_each_data_set():
    figure = draw_published().figure
    panels = [axis for axis in figure.axes if axis.has_data()]
    assert [panel.get_title() for panel in panels] == [
        *("brain", "hippocampus", "phc_u373", "platelet_em")
    ]
    points = {tuple(place) for place in panels[0].collections[0].get_offsets().tolist()}
    assert (0.1192, 0.6754) in points
    assert len(points) == 7


def test_ranks_need_four_data_sets_and_three_metrics():
    assert enough_for_ranks(pd.DataFrame(np.zeros((4, 3))))
    assert not enough_for_ranks(pd.DataFrame(np.zeros((3, 9))))
    assert not enough_for_ranks(pd.DataFrame(np.zeros((9, 2))))


def test_bars_join_the_largest_groups_within_the_critical_difference():
    ranks = pd.Series([1.0, 1.5, 2.6, 4.0, 9.0])
    assert joined(ranks, 1.5) == [(1.0, 1.5), (1.5, 2.6), (2.6, 4.0)]
    assert joined(ranks, 1.7) == [(1.0, 2.6), (2.6, 4.0)]
    assert joined(ranks, 0.1) == []
    assert joined(ranks, 10) == [(1.0, 9.0)]


def test_largest_dice_has_the_first_rank():
    means = pd.DataFrame([DICE] * 4)
    panel = draw_ranks(means, LOOKS).axes[0]
    assert [text.get_text() for text in panel.texts] == ["ncc  1.00", "vgg  2.00", "mse  3.00"]


def test_every_method_has_its_own_colour_and_marker():
    known = [*METRICS.values(), *FURTHER_METHODS.values(), *OTHERS]
    for one_of_each in zip(*known, strict=True):  # colours, then markers
        assert len(set(one_of_each)) == len(known)


def test_looks_of_the_suite_are_for_its_methods_alone():
    suite = {*METRICS, *FURTHER_METHODS}
    without = {model for model in options("model") if not uses_metric(model)}
    assert {*options("metric"), *without} - {"custom"} == suite
    found = looks([(name, name) for name in ("affine", "mine", *(f"z{i}" for i in range(9)))])
    assert (found["affine"].color, found["affine"].marker) == FURTHER_METHODS["affine"]
    assert looks([("mine", "mine")])["mine"] == found["mine"]
    own = {look.color for name, look in found.items() if name != "affine"}
    assert len(own) == 10
    assert not own & {color for color, _ in (*METRICS.values(), *FURTHER_METHODS.values())}


def uses_metric(model):
    if model == "custom":
        return True
    return "metric" in Experiment.from_config(compose([f"model={model}"])).shaped_by


def test_legend_is_read_by_lines_that_are_about_as_long():
    figure = new_figure(9, 3)
    known = looks([(metric, metric) for metric in [*METRICS][:9]])
    add_legend(figure, [point_handle(label, look) for label, look in known.items()])
    (legend,) = figure.legends
    assert legend._ncols == 5
    assert [text.get_text() for text in legend.get_texts()] == [
        *("mse", "dice", "ncc", "vgg", "ncc_sup", "deepsim_ae", "nmi", "deepsim_csr", "mind")
    ]  # as matplotlib fills it: column by column


def test_label_that_is_wider_than_the_figure_takes_several_lines(tmp_path):
    labels = [f"ncc one network for λ 0.025 to 1.6 steps {steps}" for steps in (20, 60, 400)]
    figure, fits = new_figure(3.1, 3), new_figure(6, 3)
    for one in (figure, fits):
        one.subplots()
        add_legend(one, [point_handle(label, Look("C0", "o")) for label in labels])
        save(one, tmp_path / "figure")
        (legend,) = one.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= one.bbox.x1
        assert legend._ncols == 1
    assert [text.get_text() for text in fits.legends[0].get_texts()] == labels
    assert figure.get_figheight() == pytest.approx(3 + 2 * 0.2)


def test_outline_of_a_marker_is_its_corners_around_its_middle():
    square = {(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)}
    assert set(outline("s")) == square
    circle = np.array(outline("o"))
    np.testing.assert_allclose(np.hypot(*circle.T), 0.5, atol=0.01)
    assert len(outline((4, 1, 0))) == 9  # four tips, four notches, and the first again


def test_look_of_a_metric_does_not_depend_on_the_others():
    alone, among = looks([("ncc", "ncc")]), looks([(m, m) for m in METRICS])
    assert alone["ncc"] == among["ncc"]


def test_variants_differ_in_all_and_unknown_metrics_get_a_look_of_their_own():
    labels = [("ncc a=1", "ncc"), ("ncc a=2", "ncc"), ("mse b=1", "mse"), ("mse b=2", "mse")]
    found = looks([*labels, ("mine", "mine"), ("zeta", "zeta")])
    assert found["ncc a=1"].marker == METRICS["ncc"][1]
    assert len({look.marker for look in found.values()}) == len(found)
    for first, second in (("ncc a=1", "ncc a=2"), ("mse b=1", "mse b=2")):
        for part in ("color", "marker", "dash", "hatch"):
            assert getattr(found[first], part) != getattr(found[second], part)
    assert (found["mine"].color, found["zeta"].color) == (OTHERS[0][0], OTHERS[1][0])


def test_colours_by_hand():
    assert lighter("#000000", 0.5) == "#808080"
    assert lighter("#102030", 0) == "#102030"
    assert is_dark("#000000")
    assert not is_dark("#ffffff")


def test_metrics_are_ordered_from_baselines_to_semantic_to_others():
    names = ["zeta", "deepsim_seg", "mine", "mse", "vgg"]
    assert sorted(names, key=metric_order) == ["mse", "vgg", "deepsim_seg", "mine", "zeta"]


def test_names_of_files_are_plain():
    assert file_name("hippocampus (schema 1, data 91f1)") == "hippocampus-schema-1-data-91f1"


def test_added_figure_is_drawn_with_the_others(comparison, tmp_path, monkeypatch):
    def medians(one, shown):
        figure = new_figure(3, 2)
        figure.subplots().bar(list(one.scores("dice")), one.scores("dice").median())
        yield gallery.Drawing(f"medians-{one.name}", "Medians.", figure)

    monkeypatch.setattr(gallery, "OF_EACH", [*gallery.OF_EACH, medians])
    drawn = {one.name: one for one in gallery.draw_all([comparison], result_rows(comparison))}
    assert {"dice", "smoothness", "weights-hippocampus", "medians-hippocampus"} <= set(drawn)
    bars = drawn["medians-hippocampus"].figure.axes[0].patches
    expected = [np.median(dice + np.array([0.0, 0.01, -0.01, 0.02])) for dice in DICE.values()]
    assert [bar.get_height() for bar in bars] == pytest.approx(expected)


def test_every_variant_of_a_metric_can_be_drawn_in_the_page(tmp_path):
    for i in range(6):
        write_run(tmp_path, config(steps=100 * (i + 1)), [0.5, 0.6], variant=f"v{i}")
    (comparison,) = compare(read_records(tmp_path))
    shown = looks((entry.label, entry.metric) for entry in comparison.entries)
    lines = [line for line in lines_in(plot_front(comparison, shown, "sdlogj", "front").content)]
    assert len({tuple(line.get("line_dash", ())) for line in lines}) == 5
    assert all(isinstance(n, int) for line in lines for n in line.get("line_dash", ()))


def lines_in(content):
    """The attributes of the line glyphs of a plot."""
    found = []

    def visit(node):
        if isinstance(node, dict):
            if node.get("name") == "Line" and "attributes" in node:
                found.append(node["attributes"])
            node = list(node.values())
        for part in node if isinstance(node, list) else []:
            visit(part)

    visit(json.loads(content))
    return found


def test_figures_have_room_for_the_legend_of_many_variants(tmp_path):
    for i in range(14):
        settings = config(steps=100 * (i + 1), validate_every=10 * (i + 1), lr=1e-3 * (i + 1))
        write_run(tmp_path, settings, [0.5, 0.6], variant=f"v{i}")
    (comparison,) = compare(read_records(tmp_path))
    shown = looks((entry.label, entry.metric) for entry in comparison.entries)
    figure = draw_classes(comparison, shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that has no room
        figure.draw_without_rendering()
    assert figure.axes[0].get_position().height * figure.get_figheight() > 1
