"""Networks of distributions: what is minimized, remembered and resumed."""

import pytest
import torch
from conf_options import setup_of, tiny_experiment
from dying import fit_until_death
from torch.distributions import Normal

from bench.errors import ConfigError, Unsupported
from bench.models.prior import Strength, fitted_strength, kl_map
from bench.models.variational import Variational
from bench.spatial.displacement import warp
from bench.spatial.resolution import warp_level
from bench.tasks.registration.assembly import build_parts
from bench.tasks.registration.registration import RegistrationJob
from bench.tasks.registration.variational import VariationalTraining
from bench.training.loop import fit

CPU = torch.device("cpu")


def job_of(dataset, *overrides, ndim=2):
    experiment = tiny_experiment(ndim, "model=variational", *overrides)
    setup = setup_of(experiment, dataset)
    return RegistrationJob(setup, build_parts(setup))


@pytest.mark.parametrize("backbone", ["unet", "pyramid"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_network_begins_near_no_motion_with_a_small_variance(ndim, backbone):
    torch.manual_seed(0)
    network = Variational(ndim, 1, [4, 6], backbone=backbone)
    network.compares(1)
    shape = (1, 1, 9, 11, 7)[: ndim + 2]
    mean, log_variance, noise = network(torch.rand(shape), torch.rand(shape))
    assert mean.shape == log_variance.shape == (1, ndim, *shape[2:])
    assert mean.abs().max() < 1e-3
    assert (log_variance + 3).abs().max() < 0.5
    assert noise.tolist() == [-5.0]


def test_loss_is_the_negative_log_likelihood_of_a_sample_and_the_divergence(tiny_datasets):
    job = job_of(tiny_datasets[2], "metric=mse")
    training = job.trainable
    assert isinstance(training, VariationalTraining)
    network = training.network.train()
    torch.manual_seed(7)
    losses = training.loss(network, range(2), CPU)
    pair = training.training.batch(range(2), CPU)
    mean, log_variance, noise = network(pair.moving, pair.fixed)
    torch.manual_seed(7)
    u = mean + (log_variance / 2).exp() * torch.randn_like(log_variance)
    expected = -Normal(warp(pair.moving, u), (noise / 2).exp().item()).log_prob(pair.fixed).mean()
    strength = fitted_strength(mean, log_variance)
    kl = kl_map(mean, log_variance, strength).mean()
    torch.testing.assert_close(losses["similarity"], expected)
    torch.testing.assert_close(losses["kl"], kl)
    torch.testing.assert_close(losses["loss"], expected + kl)
    torch.testing.assert_close(network.log_strength, torch.stack(strength).detach())
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_strength_of_tests_is_a_running_mean():
    network = Variational(2, 1, [4])
    first, second = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])
    network.remember(Strength(*first))
    assert torch.equal(torch.stack(network.strength), first)
    network.remember(Strength(*second))
    torch.testing.assert_close(torch.stack(network.strength), 0.9 * first + 0.1 * second)


def test_likelihood_of_features_is_that_of_each_level(tiny_datasets):
    dataset = tiny_datasets[3]
    options = ["metric.levels=[1,2]", "model.levels=metric"]
    job = job_of(dataset, "metric=deepsim_seg", *options, ndim=3)
    likelihood, extractor = job.likelihood, job.objective.similarity.extractor
    pair = job.trainable.training.batch(range(2), CPU)
    moved = pair.at(torch.randn(pair.u.shape) * 0.3)
    count = likelihood.channels(3, 1)
    sizes = [features.shape[1] for features in extractor(pair.fixed)[:2]]
    assert count == sum(sizes) == len(job.model.log_noise)
    noise = torch.linspace(-3, 0, count)
    found = likelihood.map(moved, noise)
    assert found.shape == (2, *pair.fixed.shape[2:])
    total, voxels = 0.0, found[0].numel()
    for level, part in zip((0, 1), noise.split(sizes), strict=True):
        ours, theirs = (
            torch.nn.functional.normalize(extractor(image)[level], dim=1)
            for image in (pair.moving, pair.fixed)
        )
        warped = warp_level(ours, moved.u, extractor.factors[level])
        deviation = (part / 2).exp().view(1, -1, 1, 1, 1)
        logs = Normal(warped, deviation).log_prob(theirs).sum(1)
        total -= logs.mean() * voxels / extractor.factors[level] ** 3
    assert float(found.sum() / 2) == pytest.approx(float(total), rel=0.05)


def test_likelihood_compares_all_levels_or_those_of_the_metric(tiny_datasets):
    options = ["metric=deepsim_seg", "metric.levels=[1]"]
    every, one = (
        job_of(tiny_datasets[2], *options, f"model.levels={levels}") for levels in ("all", "metric")
    )
    levels = every.objective.similarity.extractor.levels
    assert every.likelihood.levels == list(range(levels))
    assert one.likelihood.levels == [0]
    assert len(every.model.log_noise) > len(one.model.log_noise)


def test_stopped_training_goes_on_to_the_same_network(tiny_datasets, tmp_path):
    options = ["metric=mse", "trainer.steps=6", "trainer.validate_every=2", "trainer.batch_size=2"]
    found = []
    for name, stops in (("whole", False), ("again", False), ("stopped", True)):
        folder = tmp_path / name
        folder.mkdir()
        job = job_of(tiny_datasets[2], *options)
        settings = job.setup.experiment.settings
        if stops:
            fit_until_death(job.trainable, settings, folder, job.seed)
            job = job_of(tiny_datasets[2], *options)
        fitted = fit(job.trainable, settings, folder, job.seed)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history]
        found.append((rows, job.model.state_dict()))
    for rows, state in found[1:]:
        assert rows == found[0][0]
        for name, value in state.items():
            assert torch.equal(value, found[0][1][name]), name
    assert found[0][1]["batches"] == 6


def test_collapsed_posterior_is_warned_of_with_its_first_step(tiny_datasets, tmp_path):
    options = ["metric=mse", "trainer.steps=4", "trainer.validate_every=2", "trainer.batch_size=2"]
    job = job_of(tiny_datasets[2], *options)
    fitted = fit(job.trainable, job.setup.experiment.settings, tmp_path, job.seed)
    assert job.trainable.warnings(fitted.history) == []
    again = job_of(tiny_datasets[2], *options)
    with torch.no_grad():
        again.model.spread.bias[:] = -30
    (tmp_path / "collapsed").mkdir()
    settings = again.setup.experiment.settings
    fitted = fit(again.trainable, settings, tmp_path / "collapsed", again.seed)
    (warning,) = again.trainable.warnings(fitted.history)
    assert warning.startswith("the posterior has collapsed: at step 2, 100% of its variances")


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (
            ["metric=ncc"],
            Unsupported,
            "model=variational cannot be used with metric=ncc: it models",
        ),
        (["metric=mse", "+model.integrate=7"], ConfigError, "model.integrate=7: does not apply"),
        (["metric=mse", "model.backbone=vit"], ConfigError, "model.backbone=vit: must be unet or"),
        (["metric=mse", "model.levels=2"], ConfigError, "model.levels=2: must be all or metric"),
        (
            ["metric=mse", "+model.prior=[exact]"],
            ConfigError,
            r"model.prior=\[exact\]: must be ex",
        ),
        (["metric=mse", "+model.prior=old"], ConfigError, "model.prior=old: must be exact or publ"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, error, said, tiny_datasets):
    with pytest.raises(error, match=f"^{said}"):
        job_of(tiny_datasets[2], *overrides)
