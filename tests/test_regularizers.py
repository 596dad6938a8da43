"""The regularizers: against plain formulas, and the contract over all of conf/regularizer."""

import itertools

import numpy as np
import pytest
import torch
from conf_options import compose, names, section, setup_of, tiny_experiment
from scipy import ndimage

from bench.config.instantiation import build
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.errors import ConfigError
from bench.regularizers import Bending, Diffusion, Elastic, Folding, WeightedSum
from bench.spatial.displacement import integrate
from bench.tasks.registration.assembly import build_parts
from bench.tasks.registration.training import NetworkTraining

SHAPES = [(17, 22), (10, 13, 15)]
SMALL_SHAPES = [(4, 5), (3, 4, 2)]


def displacement(shape, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, len(shape), *shape, generator=generator, dtype=dtype)


def diffusion_by_loops(u):
    """Mean over voxels and channels of the mean over axes of squared forward differences."""
    total = 0.0
    for sample in u:
        for channel in sample:
            for axis in range(channel.ndim):
                last = np.take(channel, [-1], axis=axis)
                padded = np.concatenate([channel, last], axis=axis)
                total += (np.diff(padded, axis=axis) ** 2).sum()
    return total / u.size / (u.ndim - 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_diffusion_agrees_with_loops(shape):
    u = displacement(shape, dtype=torch.float64)
    assert float(Diffusion()(u)) == pytest.approx(diffusion_by_loops(u.numpy()), rel=1e-12)


def test_diffusion_of_a_ramp_by_hand():
    u = torch.zeros(1, 2, 4, 5)
    u[0, 0] = 3 * torch.arange(4.0)[:, None]
    # 3 of 4 rows differ by 3; averaged over 2 channels and 2 axes
    assert float(Diffusion()(u)) == pytest.approx(9 * 3 / 4 / 2 / 2)


@pytest.mark.parametrize("shape", SMALL_SHAPES)
def test_gradient_of_diffusion_is_that_of_a_plain_formula(shape):
    u = displacement(shape, dtype=torch.float64).requires_grad_()
    (3 * Diffusion()(u)).backward()
    plain = u.detach().clone().requires_grad_()
    squares = [plain.diff(dim=axis).square().sum() for axis in range(2, plain.ndim)]
    (3 * sum(squares) / plain.numel() / len(shape)).backward()
    torch.testing.assert_close(u.grad, plain.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SMALL_SHAPES)
@pytest.mark.parametrize(
    "regularizer",
    [
        Diffusion(),
        Bending(),
        Elastic(mu=0.7, lam=1.6),
        Folding(margin=0.3),
        WeightedSum({"a": Bending(), "b": Folding()}, {"a": 0.5, "b": 2}),
    ],
    ids=lambda regularizer: type(regularizer).__name__,
)
def test_gradient(regularizer, shape):
    u = displacement(shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(regularizer, (u,))


def linear(matrix, shape):
    """u(p) = M p + t with any shift t; float64."""
    points = np.indices(shape, dtype=float)
    u = np.einsum("ij,j...->i...", np.asarray(matrix, dtype=float), points)
    return torch.from_numpy(u + 0.7)[None]


def random_matrix(ndim, size=1.0):
    return size * np.random.default_rng(4).normal(size=(ndim, ndim))


def inner_places(shape):
    """All places that have a next voxel along every axis."""
    return itertools.product(*(range(size - 1) for size in shape))


def jacobian_at(u, place):
    """∂u_i/∂p_j by forward differences at one place of (D, *S)."""
    ndim = len(u)
    columns = []
    for axis in range(ndim):
        after = tuple(p + (i == axis) for i, p in enumerate(place))
        columns.append(u[(slice(None), *after)] - u[(slice(None), *place)])
    return np.stack(columns, axis=1)


def bending_by_loops(u):
    """Every ordered pair of axes, at every place where the second difference exists."""
    ndim, total = u.ndim - 2, 0.0
    for channel in u.reshape(-1, *u.shape[2:]):
        for first, second in itertools.product(range(ndim), repeat=2):
            a, b = np.eye(ndim, dtype=int)[[first, second]]
            for place in itertools.product(*map(range, channel.shape)):
                points = [tuple(np.array(place) + step) for step in (a + b, a, b, 0 * a)]
                if all(p < size for p, size in zip(points[0], channel.shape, strict=True)):
                    far, one, other, near = (channel[point] for point in points)
                    total += (far - one - other + near) ** 2
    return total / u.size / ndim**2


@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 4)])
def test_bending_agrees_with_loops(shape):
    u = displacement(shape, dtype=torch.float64)
    assert float(Bending()(u)) == pytest.approx(bending_by_loops(u.numpy()), rel=1e-12)


def test_bending_of_a_parabola_by_hand():
    u = torch.zeros(1, 2, 5, 7)
    u[0, 1] = torch.arange(7.0) ** 2
    # second differences are 2 at 5 of 7 columns of one of 2 channels; 2 x 2 pairs of axes
    assert float(Bending()(u)) == pytest.approx(4 * 5 / 7 / 2 / 4)


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_maps_bend_nothing(shape):
    u = linear(random_matrix(len(shape)), shape)
    assert float(Bending()(u)) == pytest.approx(0, abs=1e-20)
    assert float(Diffusion()(u)) > 0.1


def elastic_by_loops(u, mu, lam):
    energies = []
    for sample in u:
        for place in inner_places(sample.shape[1:]):
            jacobian = jacobian_at(sample, place)
            strain = (jacobian + jacobian.T) / 2
            energies.append(lam / 2 * np.trace(jacobian) ** 2 + mu * (strain**2).sum())
    return np.mean(energies)


@pytest.mark.parametrize("shape", SMALL_SHAPES)
@pytest.mark.parametrize("constants", [{}, {"mu": 0.3, "lam": 2.5}, {"mu": 0}, {"lam": 0}])
def test_elastic_agrees_with_loops(shape, constants):
    u = displacement(shape, dtype=torch.float64)
    expected = elastic_by_loops(u.numpy(), **{"mu": 1, "lam": 1, **constants})
    assert float(Elastic(**constants)(u)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_rotations_cost_no_elastic_energy(shape):
    matrix = random_matrix(len(shape), 0.1)
    turn, stretch = matrix - matrix.T, matrix + matrix.T
    assert float(Elastic()(linear(turn, shape))) == pytest.approx(0, abs=1e-20)
    assert float(Elastic()(linear(stretch, shape))) > 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_elastic_energy_of_a_dilation_and_of_a_shear_by_hand(shape):
    ndim = len(shape)
    elastic = Elastic(mu=0.5, lam=3)
    dilation = float(elastic(linear(0.2 * np.eye(ndim), shape)))
    assert dilation == pytest.approx(3 / 2 * (0.2 * ndim) ** 2 + 0.5 * ndim * 0.2**2)
    shear = np.zeros((ndim, ndim))
    shear[0, 1] = 0.2
    assert float(elastic(linear(shear, shape))) == pytest.approx(0.5 * 2 * 0.1**2)


@pytest.mark.parametrize("shape", SMALL_SHAPES)
@pytest.mark.parametrize("margin", [0, 0.4])
def test_folding_agrees_with_loops(shape, margin):
    u = displacement(shape, dtype=torch.float64)
    below = [
        max(0.0, margin - np.linalg.det(np.eye(len(shape)) + jacobian_at(sample, place)))
        for sample in u.numpy()
        for place in inner_places(shape)
    ]
    assert 0 < sum(value > 0 for value in below) < len(below)
    assert float(Folding(margin)(u)) == pytest.approx(np.mean(below), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_smooth_displacements_fold_nothing(shape):
    u = ndimage.gaussian_filter(displacement(shape).numpy(), (0, 0, *[3] * len(shape)))
    assert float(Folding()(torch.from_numpy(u))) == 0
    assert float(Folding(margin=1.1)(torch.from_numpy(u))) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_reflections_and_shrinking_cost_what_they_miss_of_the_margin(shape):
    ndim = len(shape)
    reflection = np.zeros((ndim, ndim))
    reflection[0, 0] = -2
    assert float(Folding()(linear(reflection, shape))) == pytest.approx(1)
    assert float(Folding(margin=0.25)(linear(reflection, shape))) == pytest.approx(1.25)
    halved = linear(-0.5 * np.eye(ndim), shape)
    assert float(Folding()(halved)) == 0
    assert float(Folding(margin=0.75)(halved)) == pytest.approx(0.75 - 0.5**ndim)


def test_folding_of_one_voxel_that_jumps_over_the_next_by_hand():
    u = torch.zeros(1, 2, 3, 3)
    u[0, 0, 1, 1] = 2
    # of 2 x 2 places, the determinant is -1 at the centre and 1, 3, 1 elsewhere
    assert float(Folding()(u)) == pytest.approx(1 / 4)


@pytest.mark.parametrize("shape", SHAPES)
def test_weighted_sum_adds_its_terms(shape):
    u = displacement(shape)
    terms = {"stretch": Diffusion(), "bend": Bending(), "fold": Folding(0.1)}
    factors = {"fold": 4, "stretch": 0.5, "bend": 0}
    expected = 0.5 * float(Diffusion()(u)) + 4 * float(Folding(0.1)(u))
    assert float(WeightedSum(terms, factors)(u)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (Elastic, {"mu": -1}, r"regularizer.mu=-1: must be a finite number"),
        (Elastic, {"lam": -0.1}, r"regularizer.lam=-0.1: must be a finite number"),
        (Elastic, {"lam": float("nan")}, r"regularizer.lam=nan: must be a finite number"),
        (Elastic, {"mu": float("inf")}, r"regularizer.mu=inf: must be a finite number"),
        (Folding, {"margin": -0.5}, r"regularizer.margin=-0.5: must be a finite number"),
        (
            WeightedSum,
            {"terms": {"a": Diffusion()}, "factors": {"b": 1}},
            r"regularizer.factors has \['b'\] but regularizer.terms has \['a'\]: give each term",
        ),
        (
            WeightedSum,
            {"terms": {"a": Diffusion(), "b": Bending()}, "factors": {"a": 1}},
            r"has \['a'\] but regularizer.terms has \['a', 'b'\]: give each term one factor",
        ),
        (WeightedSum, {"terms": None, "factors": {}}, r"regularizer.terms=null: must be a section"),
        (WeightedSum, {"terms": {"a": Diffusion()}, "factors": 3}, r"regularizer.factors=3: must"),
        (
            WeightedSum,
            {"terms": {"a": 5}, "factors": {"a": 1}},
            r"regularizer.terms.a=5: must be a",
        ),
        (WeightedSum, {"terms": {}, "factors": {}}, r"regularizer.terms has \[\]: give each"),
    ],
)
def test_impossible_settings_are_refused(kind, settings, words):
    with pytest.raises(ConfigError, match=words):
        kind(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mu": "soft"}, r"regularizer.mu=soft: must be a finite number of at least 0\."),
        ({"nu": 0.3}, r"unexpected keyword argument 'nu'"),
    ],
)
def test_settings_of_another_kind_are_refused(settings, words):
    section = {"_target_": "bench.regularizers.Elastic", **settings}
    with pytest.raises(ConfigError, match=words):
        build(section, "regularizer")


def test_sum_of_the_configuration_takes_further_terms_and_other_factors():
    overrides = [
        "regularizer=sum",
        "regularizer.terms.folding.margin=0.2",
        "regularizer.factors.folding=10",
        "+regularizer.terms.bending={_target_: bench.regularizers.Bending}",
        "+regularizer.factors.bending=0.1",
    ]
    options = section(compose(overrides)["regularizer"], "name", "weight", "scale")
    u = displacement(SHAPES[0])
    parts = [float(term(u)) for term in (Diffusion(), Folding(0.2), Bending())]
    expected = parts[0] + 10 * parts[1] + 0.1 * parts[2]
    assert float(build(options, "regularizer")(u)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("squarings", [0, 4])
def test_what_is_integrated_is_regularized_before_it_is(ndim, squarings, tiny_datasets):
    overrides = [f"model.integrate={squarings}", "model.flow_std=1", "regularizer.weight=0.3"]
    experiment = tiny_experiment(ndim, "metric=mse", *overrides)
    dataset, cpu = tiny_datasets[ndim], torch.device("cpu")
    parts = build_parts(setup_of(experiment, dataset))
    model = parts.model.eval()
    training = TrainingPairs(dataset, Augmentation(), seed=0)
    task = NetworkTraining("mse", model, {}, parts.objective, training)

    @torch.no_grad()
    def velocity_of(batch):
        network = model.network if squarings else model
        return network(batch.moving, batch.fixed)

    with torch.no_grad():
        losses = task.loss(model, [0, 1], cpu)
        validated = task.validate(model, experiment.settings, cpu)
    velocity = velocity_of(training.batch([0, 1], cpu))
    u = integrate(velocity, squarings) if squarings else velocity
    assert ((u - velocity).abs().max() > 0.1) == bool(squarings)
    expected = float(Diffusion()(velocity))
    assert (abs(float(Diffusion()(u)) / expected - 1) > 0.02) == bool(squarings)
    assert float(losses["regularization"]) == pytest.approx(expected, rel=1e-4)
    total = losses["similarity"] + 0.3 * losses["regularization"]
    torch.testing.assert_close(losses["loss"], total)
    velocity = velocity_of(read_pairs(dataset, dataset.pairs("val"), cpu))
    assert validated["regularization"] == pytest.approx(float(Diffusion()(velocity)), rel=1e-4)


@pytest.fixture(params=names("regularizer"))
def regularizer(request):
    config = compose([f"regularizer={request.param}"])
    return build(section(config["regularizer"], "name", "weight", "scale"), "regularizer")


@pytest.mark.parametrize("shape", SHAPES)
class TestEveryRegularizer:
    def test_is_a_positive_float32_scalar_with_a_gradient(self, regularizer, shape):
        u = displacement(shape).requires_grad_()
        value = regularizer(u)
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert 0 < value.item() < float("inf")
        value.backward()
        assert torch.isfinite(u.grad).all()
        assert u.grad.abs().max() > 0

    def test_is_zero_for_the_identity_and_for_translations(self, regularizer, shape):
        assert float(regularizer(torch.zeros(2, len(shape), *shape))) == pytest.approx(0, abs=1e-6)
        shift = torch.full((2, len(shape), *shape), 1.75)
        assert float(regularizer(shift)) == pytest.approx(0, abs=1e-6)

    def test_averages_over_the_batch(self, regularizer, shape):
        u = displacement(shape)
        apart = [float(regularizer(u[i : i + 1])) for i in range(2)]
        assert float(regularizer(u)) == pytest.approx(sum(apart) / 2, rel=1e-5)
