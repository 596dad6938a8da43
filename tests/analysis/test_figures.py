import matplotlib.image
import numpy as np
import pytest

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
