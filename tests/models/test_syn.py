"""SyN of ANTs, on images whose displacement is known."""

import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bench.errors import ConfigError
from bench.models.affine_first import AffineFirst
from bench.models.method import Objective
from bench.models.simpleitk import Affine
from bench.models.syn import FeatureSyN, SyN, at_full_size, principal_components
from bench.pair import Pair
from bench.spatial.displacement import warp

SHAPES = [(41, 52), (26, 31, 37)]
NOTHING = Objective(None, None, 0.0)


def smooth(shape, seed, sigma=2.0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    image = gaussian_filter(noise, sigma)
    return torch.from_numpy((image - image.min()) / np.ptp(image)).float()


@pytest.fixture
def ants():
    """ANTs, which is an extra."""
    return pytest.importorskip("ants")


def known(shape, size=2.5):
    """A fixed image, the moving one, and a displacement that nearly undoes what moved it."""
    fixed = smooth(shape, 0)[None, None]
    u = torch.stack([smooth(shape, 3 + axis, sigma=6) - 0.5 for axis in range(len(shape))])[None]
    u = size * u / u.abs().max()
    return warp(fixed, -u), fixed, u


class Levels:
    """An image's value and its square, and their means over blocks of two."""

    levels = 2
    factors = (1, 2)

    def __call__(self, image):
        pool = {4: torch.nn.functional.avg_pool2d, 5: torch.nn.functional.avg_pool3d}[image.ndim]
        fine = torch.cat([image, image.square()], dim=1)
        return [fine, pool(fine, 2)]


class Similarity:
    def __init__(self, levels=(0, 1)):
        self.extractor = Levels()
        self.levels = list(levels)


def test_without_antspyx_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(ConfigError, match=r'`pip install .*-e "\.\[ants\]"`\.$'):
        SyN(2, 1)


@pytest.mark.parametrize("shape", [(9, 14), (7, 10, 13)])
def test_levels_come_to_the_grid_of_the_image(shape):
    ramp = sum(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))
    levels = Levels()(ramp[None, None])
    full = at_full_size(levels, Levels.factors, torch.Size(shape))
    assert full.shape == (1, 4, *shape)
    torch.testing.assert_close(full[0, 0], ramp)
    inner = tuple(slice(1, n // 2 * 2 - 1) for n in shape)  # further out there is no next block
    torch.testing.assert_close(full[0, 2][inner], ramp[inner])


def test_components_are_those_of_both_maps_together():
    random = torch.Generator().manual_seed(0)
    moving, fixed = torch.randn(2, 5, 6, 7, generator=random)
    fixed[1] += 4  # what separates the two images is variance too
    ours = torch.stack(principal_components(moving, fixed, 3), dim=1).flatten(1).numpy()
    both = torch.cat([moving.flatten(1), fixed.flatten(1)], dim=1).numpy().astype(float)
    both -= both.mean(axis=1, keepdims=True)
    _, values, axes = np.linalg.svd(both, full_matrices=False)
    expected = values[:3, None] * axes[:3] / values[0] * np.sqrt(both.shape[1])
    signs = np.sign((ours * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ours, signs * expected, atol=1e-9)


def test_components_of_constant_maps_are_finite():
    moving, fixed = principal_components(torch.ones(3, 4, 5), torch.ones(3, 4, 5), 2)
    assert torch.isfinite(moving).all()
    assert torch.isfinite(fixed).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("ants")
class TestANTs:
    def test_the_displacement_warps_as_ants_does(self, shape, ants):
        moving, fixed, true = known(shape)
        u = SyN(len(shape), 1).register(Pair(moving, fixed), NOTHING)
        images = [ants.from_numpy(image[0, 0].numpy()) for image in (fixed, moving)]
        theirs = ants.registration(*images, type_of_transform="SyNOnly")
        warped = torch.from_numpy(theirs["warpedmovout"].numpy())
        torch.testing.assert_close(warp(moving, u)[0, 0], warped, atol=1e-5, rtol=0)
        assert u.abs().max() > 1
        assert (u - true).norm(dim=1).mean() < 0.75 * true.norm(dim=1).mean()

    def test_a_pair_does_not_depend_on_its_batch(self, shape):
        moving, fixed, _ = known(shape)
        pair = Pair(torch.cat([moving, fixed]), torch.cat([fixed, moving]))
        method = SyN(len(shape), 1)
        both = method.register(pair, NOTHING)
        assert both.dtype == torch.float32
        assert torch.equal(both[:1], method.register(Pair(moving, fixed), NOTHING))
        assert torch.equal(both[1:], method.register(Pair(fixed, moving), NOTHING))
        assert not torch.equal(both[:1], both[1:])

    @pytest.mark.parametrize("intensity", [True, False])
    @pytest.mark.parametrize("components", [2, None])
    def test_features_register(self, shape, intensity, components):
        moving, fixed, true = known(shape)
        steps = [40, 20, 20]  # by default none at full size, where the texture of these images is
        method = FeatureSyN(len(shape), 1, components, intensity, steps=steps)
        objective = Objective(Similarity(), None, 0.0)
        u = method.register(Pair(moving, fixed), objective)
        left = (warp(moving, u) - fixed).square().mean()
        assert left < 0.6 * (moving - fixed).square().mean()
        assert (u - true).norm(dim=1).mean() < 0.75 * true.norm(dim=1).mean()

    def test_each_map_is_one_metric(self, shape):
        moving, fixed, _ = known(shape)
        pair = Pair(moving, fixed)
        objective = Objective(Similarity(levels=[1]), None, 0.0)
        every = FeatureSyN(len(shape), 1, None).maps(pair, objective)
        assert [name for name, *_ in every] == ["mattes", "meansquares", "meansquares"]
        for _, *sides in every[1:]:
            assert all(np.linalg.norm(side) == pytest.approx(1, abs=1e-4) for side in sides)
        few = FeatureSyN(len(shape), 1, 1, intensity=False).maps(pair, objective)
        assert [name for name, *_ in few] == ["meansquares"]

    def test_channels_stand_side_by_side(self, shape):
        moving, fixed, _ = known(shape)
        empty = smooth(shape, 9)[None, None]  # says nothing of the displacement
        u = SyN(len(shape), 2).register(
            Pair(torch.cat([empty, moving], 1), torch.cat([empty, fixed], 1)), NOTHING
        )
        assert (warp(moving, u) - fixed).square().mean() < (moving - fixed).square().mean()

    def test_an_affine_registration_comes_first(self, shape):
        _, fixed, _ = known(shape)
        shift = torch.zeros(1, len(shape), *shape)
        shift[:, 0], shift[:, -1] = 3, -2
        pair = Pair(warp(fixed, -shift), fixed)
        plain = SyN(len(shape), 1, steps=[0])
        u = AffineFirst(plain, Affine(len(shape), 1)).register(pair, NOTHING)
        inner = (..., *(slice(6, -6) for _ in shape))
        assert (u - shift)[inner].abs().max() < 0.3


def test_a_metric_without_features_is_refused(ants):
    refused = FeatureSyN(2, 1).accepts(Objective(torch.nn.MSELoss(), None, 0.0))
    assert refused == "model=syn_features needs a metric of features, such as deepsim_seg"


def test_no_component_is_refused(ants):
    with pytest.raises(ConfigError, match=r"model.components=0: must be a number from 1"):
        FeatureSyN(2, 1, components=0)
