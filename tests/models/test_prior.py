"""The prior of displacements against dense linear algebra, in float64."""

import itertools

import pytest
import torch

from bench.models.prior import (
    Strength,
    degrees,
    fitted_strength,
    kl_map,
    log_determinant,
    roughness,
)
from bench.models.published_prior import published_kl_map, published_strength

SHAPES = [(5, 4), (3, 4, 2)]


def laplacian(shape):
    """L of the grid, edge by edge."""
    voxels = list(itertools.product(*map(range, shape)))
    matrix = torch.zeros(len(voxels), len(voxels), dtype=torch.float64)
    for i, j in itertools.combinations(range(len(voxels)), 2):
        if sum(abs(a - b) for a, b in zip(voxels[i], voxels[j], strict=True)) == 1:
            matrix[i, i] += 1
            matrix[j, j] += 1
            matrix[i, j] -= 1
            matrix[j, i] -= 1
    return matrix


def precision(strength, shape):
    matrix = laplacian(shape)
    count = len(matrix)
    ones = torch.ones(count, count, dtype=torch.float64)
    return strength.log_alpha.exp() * matrix + strength.log_beta.exp() / count**2 * ones


def posteriors(shape, batch=3):
    torch.manual_seed(0)
    size = (batch, len(shape), *shape)
    return torch.randn(size, dtype=torch.float64), torch.randn(size, dtype=torch.float64) - 1


def dense_kl(mean, log_variance, matrix):
    """KL divergence of each item, by torch's multivariate normal distributions."""
    prior = torch.distributions.MultivariateNormal(
        torch.zeros(len(matrix), dtype=torch.float64), precision_matrix=matrix
    )
    found = torch.zeros(len(mean), dtype=torch.float64)
    for item, axis in itertools.product(range(len(mean)), range(mean.shape[1])):
        variance = log_variance[item, axis].flatten().exp()
        posterior = torch.distributions.MultivariateNormal(
            mean[item, axis].flatten(), covariance_matrix=torch.diag(variance)
        )
        found[item] += torch.distributions.kl_divergence(posterior, prior)
    return found


STRENGTH = Strength(*torch.tensor([0.7, -0.4], dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_those_of_the_dense_matrix(shape):
    mean, _ = posteriors(shape)
    matrix = laplacian(shape)
    assert torch.equal(degrees(mean).flatten(), matrix.diagonal())
    flat = mean.flatten(2)
    quadratic = torch.einsum("bdi,ij,bdj->b", flat, matrix, flat)
    torch.testing.assert_close(roughness(mean).flatten(1).sum(1), quadratic, rtol=1e-9, atol=0)
    found = log_determinant(STRENGTH, mean.shape[2:])
    torch.testing.assert_close(found, precision(STRENGTH, shape).logdet(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_divergence_is_that_of_the_dense_distributions(shape):
    mean, log_variance = posteriors(shape)
    found = kl_map(mean, log_variance, STRENGTH)
    assert found.shape == (3, *shape)
    expected = dense_kl(mean, log_variance, precision(STRENGTH, shape))
    torch.testing.assert_close(found.flatten(1).sum(1), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_other_strength_is_nearer(shape):
    mean, log_variance = posteriors(shape)
    strength = fitted_strength(mean, log_variance)
    logs = torch.stack(strength).requires_grad_()
    dense = dense_kl(mean, log_variance, precision(Strength(*logs), shape)).mean()
    (gradient,) = torch.autograd.grad(dense, logs)
    assert gradient.abs().max() < 1e-6
    for change in torch.eye(2, dtype=torch.float64) * 0.1:
        for sign in (-1, 1):
            other = Strength(*(logs + sign * change))
            assert dense_kl(mean, log_variance, precision(other, shape)).mean() > dense


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2)])
def test_gradients_are_right_also_through_the_strength(shape):
    mean, log_variance = (x.requires_grad_() for x in posteriors(shape, batch=2))

    def loss(mean, log_variance):
        return kl_map(mean, log_variance, fitted_strength(mean, log_variance)).sum()

    assert torch.autograd.gradcheck(loss, (mean, log_variance))
    whole = torch.autograd.grad(loss(mean, log_variance), (mean, log_variance))
    fixed = Strength(*(x.detach() for x in fitted_strength(mean, log_variance)))
    partial = torch.autograd.grad(
        kl_map(mean, log_variance, fixed).sum(), (mean, log_variance)
    )  # at the optimum the strength has no part in the gradient
    for one, other in zip(whole, partial, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_large_grids_stay_exact_in_single_precision():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(1, 2, 96, 112), torch.randn(1, 2, 96, 112) - 3
    found = kl_map(mean, log_variance, fitted_strength(mean, log_variance)).mean()
    double = mean.double(), log_variance.double()
    expected = kl_map(*double, fitted_strength(*double)).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_published_prior_counts_edges_twice_and_in_2d_a_third_axis(shape):
    mean, log_variance = posteriors(shape)
    ndim, matrix = len(shape), laplacian(shape)
    count = len(matrix)
    flat = mean.flatten(2)
    variances = log_variance.exp().flatten(1).sum(1) + (count if ndim == 2 else 0)
    rough = 2 * torch.einsum("bdi,ij,bdj->b", flat, matrix, flat)
    sums = flat.sum(2).square().sum(1)
    alpha = (count - 1) * ndim / (2 * ndim * variances + rough).mean()
    beta = count**2 * ndim / (variances + sums).mean()
    strength = published_strength(mean, log_variance)
    torch.testing.assert_close(torch.stack(strength).exp(), torch.stack([alpha, beta]))
    logs = ndim * ((count - 1) * alpha.log() + beta.log()) + log_variance.flatten(1).sum(1)
    quadratic = 2 * ndim * alpha * variances + alpha * rough
    quadratic = quadratic + beta / count**2 * (variances + sums)
    found = published_kl_map(mean, log_variance, strength)
    assert found.shape == (3, *shape)
    torch.testing.assert_close(found.flatten(1).sum(1), (quadratic - logs) / 2)


def test_published_kl_map_differs_from_the_exact_one_by_more_than_constants():
    mean, log_variance = posteriors((5, 4))
    strength = fitted_strength(mean, log_variance)
    difference = published_kl_map(mean, log_variance, strength) - kl_map(
        mean, log_variance, strength
    )
    assert difference.std() > 0.01
