import matplotlib.image
import numpy as np
import pytest

from bench.analysis.plots import changes
from bench.analysis.plots.registered import draw_registration


@pytest.mark.parametrize("shape", [(20, 31), (12, 15, 10)])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("strength", "channels"), [(0.0, 1), (2.0, 1), (2.0, 2), (2.0, 3)])
def test_figure_shows_every_panel(tmp_path, shape, labelled, strength, channels):
    """With and without folds, labels, a third axis, colours; warnings would be its errors."""
    random = np.random.default_rng(0)
    images = [random.random((channels, *shape), dtype=np.float32) for _ in range(3)]
    labels = [random.integers(0, 3, shape).astype(np.uint8) if labelled else None] * 3
    u = strength * random.standard_normal((len(shape), *shape)).astype(np.float32)
    draw_registration(tmp_path / "figure.png", images, labels, u, "a pair")
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
