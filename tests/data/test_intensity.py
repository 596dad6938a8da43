"""Intensity policies against their formulas."""

import numpy as np
import pytest

from bench.data.preprocessing.intensity import POLICIES, Intensity
from bench.data.preprocessing.label_table import LabelTable
from bench.data.preprocessing.steps import preprocess
from bench.data.sources.subject import Raw
from bench.errors import ConfigError, DataError

TABLE = LabelTable(3, None)
KINDS = [np.uint8, np.uint16, np.int16, np.float32]


def clipped(image, low, high):
    return np.minimum(np.maximum(image - low, 0), high - low) / (high - low)


FORMULAS = {
    "keep": ({}, lambda x: x),
    "divide": ({"by": 128}, lambda x: x / 128),
    "range": ({"low": 20, "high": 90}, lambda x: clipped(x, 20, 90)),
    "quantile": (
        {"low": 0.1, "high": 0.8},
        lambda x: clipped(x, np.quantile(x, 0.1), np.quantile(x, 0.8)),
    ),
    "zscore": ({}, lambda x: (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean())),
}


def image_of(kind):
    return np.random.default_rng(0).integers(0, 128, (7, 8, 9)).astype(kind)


def test_every_policy_has_a_formula_here():
    assert {*FORMULAS, "bits"} == set(POLICIES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", FORMULAS)
def test_policy_is_its_formula(policy, kind):
    options, formula = FORMULAS[policy]
    image = image_of(kind)
    before = image.copy()
    normalized = Intensity(policy, **options).apply(image, "image.tif")
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, formula(image.astype(np.float64)), atol=1e-6)
    assert np.array_equal(image, before)


@pytest.mark.parametrize(("kind", "levels"), [(np.uint8, 256), (np.uint16, 65536)])
def test_bits_divides_by_the_number_of_grey_values(kind, levels):
    image = np.array([[0, 1, levels // 2, levels - 1]], kind)
    normalized = Intensity("bits").apply(image, "image.tif")
    assert normalized.dtype == np.float32
    assert normalized.tolist() == [[0, 1 / levels, 0.5, 1 - 1 / levels]]


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_bits_needs_pixels_of_a_bit_depth(kind):
    words = rf"image.tif: {kind.__name__} pixels have no bit depth to divide by. Set dataset.inten"
    with pytest.raises(DataError, match=words):
        Intensity("bits").apply(image_of(kind), "image.tif")


def test_zscore_of_large_values_is_exact_enough():
    image = (image_of(np.float32) / 128 + 10_000).astype(np.float32)
    normalized = Intensity("zscore").apply(image, "image.tif")
    assert normalized.mean(dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert normalized.std(dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_equal_quantiles_are_refused():
    image = np.zeros((10, 10), np.float32)
    image[0, 0] = 5
    words = (
        r"image.tif: its quantiles 0.01 and 0.9 are both 0\. Choose quantiles further apart in da"
    )
    with pytest.raises(DataError, match=words):
        Intensity("quantile", low=0.01, high=0.9).apply(image, "image.tif")


@pytest.mark.parametrize(("low", "high"), [(5, 9), (-9, 0)])
def test_range_that_the_image_lies_outside_is_refused(low, high):
    image = np.linspace(0, 5, 20, dtype=np.float32)
    words = f"image.tif: intensities 0 to 5 lie outside low={low}, high={high}, so clip"
    with pytest.raises(DataError, match=words):
        Intensity("range", low=low, high=high).apply(image, "image.tif")


@pytest.mark.parametrize(
    ("intensity", "step"),
    [
        (Intensity(), 1),
        (Intensity("divide", by=128), 1 / 128),
        (Intensity("divide", by=100), 1 / 100),
        (Intensity("bits"), 1 / 256),
    ],
)
def test_bytes_are_whole_multiples_of_the_step(intensity, step):
    image = np.arange(256, dtype=np.uint8)
    assert intensity.step(image.dtype) == step
    np.testing.assert_allclose(intensity.apply(image, "i"), np.arange(256) * step, rtol=1.2e-7)


def test_other_types_and_policies_have_no_step():
    assert [Intensity("bits").step(np.dtype(kind)) for kind in KINDS[1:]] == [None] * 3
    for policy in ("range", "quantile", "zscore"):
        assert Intensity(policy).step(np.dtype(np.uint8)) is None


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"policy": "divide", "by": 0}, r"dataset.intensity.by=0: must be above 0\."),
        ({"policy": "divide", "by": -2}, r"dataset.intensity.by=-2: must be above 0\."),
        (
            {"policy": "divide", "by": float("nan")},
            r"dataset.intensity.by=nan: must be a finite number\.",
        ),
        ({"policy": "range", "low": 5, "high": 5}, r"low=5 must be below high=5\."),
        ({"policy": "range", "low": 9, "high": 5}, r"low=9 must be below high=5\."),
        ({"policy": "quantile", "low": -0.1}, "low=-0.1, high=1.0 must satisfy 0 <= low < high <="),
        ({"policy": "divide", "bi": 2}, r"dataset\.intensity.*\bbi\b"),
    ],
)
def test_impossible_settings_are_refused(section, words):
    with pytest.raises(ConfigError, match=words):
        Intensity.from_config(section)


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_32_bit_pixels_are_not_divided_into_nothing(top):
    image = np.arange(60, dtype=np.uint32).reshape(1, 6, 10) * np.uint32(top // 59)
    raw = Raw(image, None, (1.0, 1.0))
    with pytest.raises(DataError, match=r"x: intensities run from 0 to .* would keep"):
        preprocess(raw, "x", "y", TABLE, Intensity("bits"))


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        (np.linspace(0, 1e-6, 60), Intensity()),
        (np.linspace(1000, 1001, 60), Intensity()),
        (np.arange(60), Intensity("divide", by=1e9)),
        (np.linspace(0, 100, 60), Intensity("range", low=0, high=1e8)),
    ],
)
def test_policy_that_loses_the_image_is_refused(image, policy):
    raw = Raw(image.reshape(1, 6, 10), None, (1.0, 1.0))
    with pytest.raises(DataError, match=r"Set dataset\.intensity\.policy to quantile"):
        preprocess(raw, "x", "y", TABLE, policy)


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        (np.arange(60) % 2, Intensity()),
        (np.arange(1000, 1060), Intensity()),
        (np.arange(60, dtype=np.uint16) * 69, Intensity("bits")),
        (np.linspace(0, 1, 60), Intensity("zscore")),
    ],
)
def test_image_of_few_levels_that_are_kept_passes(image, policy):
    preprocess(Raw(image.reshape(1, 6, 10), None, (1.0, 1.0)), "x", "y", TABLE, policy)
