"""The embedded demo."""

import functools

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from bench.data import Demo
from bench.data.sources.roles import roles_of
from bench.data.sources.subject import Subject
from bench.errors import ConfigError
from bench.spatial.displacement import displacement_at, integrate

CLASSES = {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}
PAIRS = {"train": "cross", "val": "mirrored", "test": "mirrored"}
SUBJECT = Subject("train000", "train")


def make(ndim=2, **settings):
    shape, resolution = ((31, 38), 4) if ndim == 2 else ((20, 24, 18), 8)
    settings = {"resolution": resolution, "shape": shape, **settings}
    return Demo(name="demo", ndim=ndim, classes=CLASSES, pairs=PAIRS, **settings)


@functools.cache
def template(ndim):
    return make(ndim)._template


def demo(ndim=2, **settings):
    """The demo, its template read once for all tests."""
    source = make(ndim, **settings)
    source._template = template(ndim)
    return source


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_subject_is_an_image_in_zero_to_one_with_its_tissues(ndim):
    source = demo(ndim)
    sample = source.load(SUBJECT)
    assert sample.image.shape == (1, *source.shape)
    assert sample.image.dtype == np.float32
    assert sample.image.min() >= 0
    assert sample.image.max() <= 1
    assert sample.labels.shape == source.shape
    assert set(np.unique(sample.labels)) == set(CLASSES)
    assert sample.spacing == (4.0 if ndim == 2 else 8.0,) * ndim
    means = [sample.image[0][sample.labels == label].mean() for label in (0, 1, 2, 3)]
    assert means == sorted(means)  # T1: background, fluid, grey, white


def test_it_is_deterministic():
    first, second = (source.load(SUBJECT) for source in (make(), demo()))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)


def test_a_subject_does_not_depend_on_how_many_there_are():
    few = demo(subjects_per_split={"train": 1, "val": 1, "test": 1}).load(SUBJECT)
    assert np.array_equal(few.image, demo().load(SUBJECT).image)


@pytest.mark.parametrize("other", [{"seed": 1}, {"deformation": (2.0, 1.0)}])
def test_another_seed_or_deformation_gives_other_anatomy(other):
    first, second = demo().load(SUBJECT), demo(**other).load(SUBJECT)
    assert not np.array_equal(first.labels, second.labels)


def test_subjects_differ():
    source = demo()
    labels = [source.load(subject).labels for subject in source.subjects()[:3]]
    assert not np.array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[1], labels[2])


@pytest.mark.parametrize("setting", ["noise", "bias"])
def test_noise_and_bias_change_the_image_but_not_the_labels(setting):
    plain, disturbed = demo(**{setting: 0.0}).load(SUBJECT), demo(**{setting: 0.2}).load(SUBJECT)
    assert np.array_equal(plain.labels, disturbed.labels)
    assert np.abs(plain.image - disturbed.image).mean() > 0.02


def test_noise_has_the_standard_deviation_it_says():
    clean = demo(noise=0.0).load(SUBJECT).image
    noisy = demo(noise=0.03).load(SUBJECT).image
    tissue = (clean > 0.3) & (clean < 0.85)  # neither Rician nor clipped there
    assert (noisy - clean)[tissue].std() == pytest.approx(0.03, rel=0.1)


def test_splits_have_the_counts_asked_for():
    splits = [
        s.split for s in demo(subjects_per_split={"train": 3, "val": 1, "test": 2}).subjects()
    ]
    assert splits == ["train"] * 3 + ["val"] + ["test"] * 2


def test_fingerprint_depends_on_settings_alone():
    subjects = demo().subjects()
    prints = {demo(**s).fingerprint(subjects) for s in ({}, {}, {"seed": 1}, {"noise": 0.1})}
    assert len(prints) == 3


@pytest.mark.parametrize("setting", ["noise", "bias"])
def test_negative_strengths_are_refused(setting):
    with pytest.raises(ConfigError, match=rf"dataset.{setting}=-0.1: must be a finite number"):
        demo(**{setting: -0.1})
    with pytest.raises(ConfigError, match=rf"dataset.{setting}=inf: must be a finite number"):
        demo(**{setting: float("inf")})


@pytest.mark.parametrize("counts", [None, 5, {"train": None}, {"train": "a"}, {"train": -1}])
def test_numbers_of_subjects_that_are_none_are_refused(counts):
    with pytest.raises(ConfigError, match=r"dataset.subjects_per_split=.*: must be whole numbers"):
        demo(subjects_per_split=counts)


@pytest.mark.parametrize("setting", ["deformation", "smoothness"])
@pytest.mark.parametrize("values", [3, [4], [4, -1], [4, float("inf")]])
def test_deformations_have_a_coarse_and_a_fine_part(setting, values):
    with pytest.raises(ConfigError, match=rf"dataset.{setting}=.*: must be two finite numbers"):
        demo(**{setting: values})


@pytest.mark.parametrize("ndim", [2, 3])
def test_contrasts_show_one_person_with_tissues_in_their_order(ndim):
    plain = demo(ndim).load(SUBJECT)
    sample = demo(ndim, contrast=["flair", "t1", "t2"]).load(SUBJECT)
    assert sample.image.shape == (3, *plain.image.shape[1:])
    assert sample.image.dtype == np.float32
    assert np.array_equal(sample.image[1], plain.image[0])
    assert np.array_equal(sample.labels, plain.labels)
    assert np.array_equal(sample.landmarks.points, plain.landmarks.points)
    clean = demo(ndim, contrast=["t2", "flair"], noise=0.0, bias=0.0).load(SUBJECT)
    means = [[i[sample.labels == label].mean() for label in range(4)] for i in clean.image]
    for channel, order in zip(means, ([0, 3, 2, 1], [0, 1, 3, 2]), strict=True):
        assert list(np.argsort(channel)) == order


def test_a_contrast_is_a_smooth_function_of_t1_in_zero_to_one():
    settings = {"noise": 0.0, "bias": 0.0}
    sample = demo(contrast=["t1", "t2", "flair"], **settings).load(SUBJECT)
    first, *others = sample.image.reshape(3, -1)
    order = np.argsort(first)
    for other in others:
        assert 0 <= other.min() < 0.01
        assert 0.98 < other.max() <= 1
        steep = np.abs(np.diff(other[order]))
        assert (steep <= 12 * np.diff(first[order]) + 1e-5).all()


def test_contrasts_have_a_bias_and_noise_each():
    for setting, other in (("bias", "noise"), ("noise", "bias")):
        clean, disturbed = (
            demo(contrast=["t1", "t2"], **{setting: strength, other: 0.0}).load(SUBJECT).image
            for strength in (0.0, 0.05)
        )
        within = ((clean > 0.2) & (clean < 0.85)).all(axis=0)
        drawn = disturbed[:, within] / clean[:, within]
        assert drawn.std(axis=1).min() > 0.02
        assert abs(np.corrcoef(drawn)[0, 1]) < 0.6


def test_moving_and_fixed_images_are_chosen_by_contrast():
    source = demo(contrast=["t1", "t2"], moving="t1", fixed="t2")
    assert roles_of(source, 2) == {"moving": [0], "fixed": [1]}
    assert roles_of(demo(contrast="t2"), 1) is None


@pytest.mark.parametrize("contrast", ["T1", ["t1", "t1"], [], ["t1", "pd"], 1])
def test_contrasts_that_are_not_known_or_given_twice_are_refused(contrast):
    with pytest.raises(ConfigError, match=r"^dataset.contrast=.*: must be one of t1, t2, flair"):
        demo(contrast=contrast)


def test_contrast_counts_once_it_is_given():
    assert "contrast" not in demo().settings()
    assert demo(contrast="t1").settings()["contrast"] == "t1"


@pytest.mark.parametrize("ndim", [2, 3])
def test_landmarks_are_where_the_deformation_takes_them_from(ndim):
    source = demo(ndim)
    u = integrate(torch.from_numpy(source._velocity(SUBJECT))[None]).double()
    points = torch.from_numpy(source.load(SUBJECT).landmarks.points)[None]
    back = points + displacement_at(u, points)
    brain = back.round().long()[0].numpy()
    np.testing.assert_allclose(back[0].numpy(), brain, atol=1e-3)
    assert (source._template[1][tuple(brain.T)] > 0).all()
    assert len(np.unique(brain, axis=0)) == len(brain) == 100


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_subject_shows_the_template_at_its_landmarks(ndim):
    source = make(ndim, noise=0.0, bias=0.0)
    tissue = template(ndim)[1]
    ramp = (np.indices(tissue.shape).sum(axis=0) / sum(tissue.shape)).astype(np.float32)
    source._template = ramp, tissue
    sample = source.load(SUBJECT)
    shown = map_coordinates(sample.image[0], sample.landmarks.points.T, order=1)
    points = sample.landmarks.points
    inside = ((points >= 0) & (points <= np.array(source.shape) - 1)).all(axis=1)
    assert inside.sum() > 80
    brain = tuple(source._points.astype(int).T)
    np.testing.assert_allclose(shown[inside], ramp[brain][inside], atol=1e-3)
    assert np.abs(sample.image[0][brain] - ramp[brain]).max() > 0.03


def test_images_stay_as_they_were():
    """Checksums of the demo before it had landmarks and contrasts."""
    sample = demo().load(SUBJECT)
    assert sample.image.sum(dtype=float) == pytest.approx(878.91006, rel=1e-6)
    assert int(sample.labels.sum()) == 2744
