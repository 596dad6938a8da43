import matplotlib.image
import numpy as np
import pytest

from bench.analysis.plots import changes, registered
from bench.analysis.plots.panel import Registered, draw_panel
from bench.analysis.plots.registered import draw_registration
from bench.analysis.plots.synthesis import STRONGEST, Planes, outputs_panel


@pytest.mark.parametrize("shape", [(20, 31), (12, 15, 10)])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("strength", "channels"), [(0.0, 1), (2.0, 1), (2.0, 2), (2.0, 3)])
def test_figure_shows_every_panel(tmp_path, shape, labelled, strength, channels):
    """With and without folds, labels, a third axis, colours; warnings would be its errors."""
    random = np.random.default_rng(0)
    images = [random.random((channels, *shape), dtype=np.float32) for _ in range(3)]
    labels = [random.integers(0, 3, shape).astype(np.uint8) if labelled else None] * 3
    u = strength * random.standard_normal((len(shape), *shape)).astype(np.float32)
    names = ["background", "first", "second"]
    draw_registration(tmp_path / "figure.png", images, labels, u, "a pair", None, names)
    drawn = matplotlib.image.imread(tmp_path / "figure.png")
    panels = np.array_split(drawn[60:-10, :, :3], 5, axis=1)
    assert all(panel.std() > 0.01 for panel in panels)


@pytest.mark.parametrize("known", [True, False])
def test_figure_of_changes_explains_colours_and_outline(tmp_path, monkeypatch, known):
    drawn = []
    monkeypatch.setattr(changes, "write_figure", lambda figure, path, **_: drawn.append(figure))
    random = np.random.default_rng(0)
    names = ("moving", "fixed", "warped")
    images = {name: random.random((1, 20, 24), dtype=np.float32) for name in names}
    maps = {"map of the method": random.random((20, 24)), "Jacobian": np.zeros((20, 24))}
    change = np.zeros((20, 24), bool)
    change[5:9, 5:9] = known
    changes.draw_changes(tmp_path / "x.png", images, maps, change, None, "title")
    (figure,) = drawn
    bars = [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]
    assert len(bars) == len(maps)
    outlined = [axis.get_title() for axis in figure.axes if axis.collections and axis not in bars]
    assert outlined == (["fixed", "warped", *maps] if known else [])
    said = figure.get_supxlabel()
    assert said.startswith("cyan outline: true change" if known else "no true change is known")
    assert "colours range over the middle 99 % of each map" in said


def test_figure_of_changes_shows_the_least_value_where_voxels_do_not_count(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(changes, "write_figure", lambda figure, path, **_: drawn.append(figure))
    images = {name: np.ones((1, 20, 24), np.float32) for name in ("moving", "fixed", "warped")}
    found = np.random.default_rng(0).random((20, 24)) + 1
    counted = np.zeros((20, 24), bool)
    counted[5:15, 5:15] = True
    found[~counted] = 9.0
    arguments = images, {"map of the method": found}, None
    changes.draw_changes(tmp_path / "x.png", *arguments, counted, "title")
    changes.draw_changes(tmp_path / "x.png", *arguments, np.zeros((20, 24), bool), "title")
    masked, whole = (figure.axes[3].images[0] for figure in drawn)
    shown = masked.get_array().T
    np.testing.assert_array_equal(shown[counted], found[counted])
    assert set(shown[~counted]) == {found[counted].min()}
    assert masked.get_clim() == tuple(np.quantile(found[counted], [0.005, 0.995]))
    np.testing.assert_array_equal(whole.get_array().T, found)
    said = "; voxels that do not count have its least value"
    assert [figure.get_supxlabel().endswith(said) for figure in drawn] == [True, False]


def test_figure_of_a_run_names_the_contours_of_its_plane(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(registered, "write_figure", lambda figure, path, **_: drawn.append(figure))
    labels = np.zeros((20, 24), np.uint8)
    labels[2:6, 2:6], labels[9:14, 9:14], labels[16:19, 3:8] = 1, 3, 11
    names = ["background", "cortex", "absent", "nucleus", *"abcdefg", "ventricle"]
    images, u = [np.ones((1, 20, 24), np.float32)] * 3, np.zeros((2, 20, 24), np.float32)
    for contours in (labels, None):
        registered.draw_registration(tmp_path / "x.png", images, [contours] * 3, u, "", None, names)
    labelled, bare = drawn
    (legend,) = labelled.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cortex, ventricle", "nucleus"]
    colors = [line.get_color() for line in legend.get_lines()]
    contour = labelled.axes[0].collections[1]  # of the nucleus
    assert np.allclose(contour.get_edgecolor()[0], colors[1])
    assert bare.legends == []


def test_panel_has_a_bar_for_each_row_of_colours_and_names_contours():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (20, 24)).astype(np.uint8)
    image = random.random((1, 20, 24), dtype=np.float32)
    column = Registered("mse", image, labels, np.zeros((2, 20, 24)), np.ones((19, 23)))
    figure = draw_panel(image, labels, [column, column], "pair", ["background", "left", "right"])
    bars = {axis.get_ylabel() for panel in figure.axes for axis in panel.child_axes}
    assert bars == {"log J; black: folded", "warped − fixed"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]


def test_outputs_of_synthesis_have_a_bar_of_the_differences():
    random = np.random.default_rng(0)
    images = [random.random((1, 20, 24), dtype=np.float32) for _ in range(3)]
    figure = outputs_panel(["mse", "deepsim"], [Planes("a", *images)] * 2)
    (bar,) = [axis for panel in figure.axes for axis in panel.child_axes]
    assert bar.get_ylabel() == "image − truth"
    limit = STRONGEST * np.ptp(images[2])
    assert bar.get_ylim() == pytest.approx((-limit, limit))
    figure.canvas.draw()
    truth = figure.axes[3].get_window_extent()
    assert truth.x0 <= bar.get_window_extent().x0 < bar.get_window_extent().x1 <= truth.x1
