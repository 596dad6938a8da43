"""Networks that map changes themselves."""

from dataclasses import replace

import pytest
import torch
from conf_options import setup_of, tiny_experiment
from dying import fit_until_death
from similarity_pairs import SHAPES, images
from torch.distributions import Normal, kl_divergence

from bench.data.batches.loading import read_pairs
from bench.data.preprocessing.insertion import Insertion
from bench.errors import ConfigError, Unsupported
from bench.models.change_networks import ChangeSegmenter, ImageVAE
from bench.models.flow import displacement_of
from bench.models.network import NetworkMethod
from bench.tasks.changes import Changes, untested_job
from bench.tasks.changes.training import MapTraining
from bench.tasks.registration.assembly import build_parts
from bench.tasks.registration.registration import Registration
from bench.training.loop import fit

CPU = torch.device("cpu")


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("build", [ImageVAE, ChangeSegmenter])
def test_maps_are_of_the_fixed_images_size_and_nothing_moves(build, ndim):
    torch.manual_seed(0)
    network = build(ndim, 2, [4, 6]).eval()
    moving, fixed = images(SHAPES[ndim], channels=2)
    output = network(moving, fixed)
    assert output.values.shape == (2, *SHAPES[ndim])
    u, _ = displacement_of(output)
    assert u.shape == (2, ndim, *SHAPES[ndim])
    assert not u.any()


def test_autoencoder_minimizes_likelihood_and_divergence_of_what_it_draws():
    torch.manual_seed(0)
    network = ImageVAE(2, 1, [4, 6], latent=3)
    with torch.no_grad():
        network.latent.bias += torch.linspace(-1, 1, 6)
    image = torch.rand(2, 1, 12, 16)
    features = network.backbone.encoder(image)[-1]
    mean, log_variance = network.latent(features).chunk(2, 1)
    torch.manual_seed(1)
    output = network.train()(image + 5, image)  # looks at the fixed image alone
    latents = Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(()), torch.ones(()))
    kl = kl_divergence(*latents).flatten(1).sum(1) / image[0].numel()
    torch.testing.assert_close(output.kl, kl)
    losses = network.losses(output, None)
    expected = output.values.flatten(1).mean(1) / (2 * network.log_noise.exp())
    torch.testing.assert_close(losses["loss"], expected + network.log_noise / 2 + kl)
    torch.manual_seed(1)
    assert torch.equal(network(image, image).values, output.values)
    assert not torch.equal(network(image, image).values, output.values)  # drawn anew
    network.eval()
    assert torch.equal(network(image, image).values, network(image, image).values)


def job_of(dataset, task, *overrides):
    name = "changes" if isinstance(task, Changes) else "registration"
    experiment = tiny_experiment(2, f"task={name}", *overrides)
    return task.assemble(setup_of(experiment, dataset))


def changed(dataset):
    return replace(dataset, insertion=Insertion(radius=[3, 4]))


def test_segmenter_learns_from_other_changes_than_those_of_the_test(tiny_datasets):
    dataset = changed(tiny_datasets[2])
    training = job_of(dataset, Changes(), "model=change_segmenter").trainable
    assert isinstance(training, MapTraining)
    pair = training.training.batch(range(2), CPU)
    fixed, truth = training._changed(pair, [1, 2])
    assert truth.flatten(1).any(1).all()
    assert ((fixed - pair.fixed).abs().amax(1, keepdim=True)[truth] > 0).float().mean() > 0.9
    assert torch.equal(training._changed(pair, [1, 2])[0], fixed)
    assert not torch.equal(training._changed(pair, [3, 4])[1], truth)
    logits = training.network.eval()(pair.moving, fixed).values
    wanted = truth[:, 0].float()
    entropy = -(wanted * logits.sigmoid().log() + (1 - wanted) * (-logits).sigmoid().log())
    losses = training.learner.losses(training.network(pair.moving, fixed), truth)
    torch.testing.assert_close(losses["loss"], entropy.flatten(1).mean(1))


def test_segmenter_maps_new_pairs_without_a_truth(tiny_datasets):
    setup = setup_of(tiny_experiment(2, "model=change_segmenter"), tiny_datasets[2])
    job = untested_job(setup, build_parts(setup))
    job.method = NetworkMethod(job.model, torch.float32)
    pair = read_pairs(tiny_datasets[2], tiny_datasets[2].pairs("test")[:1], CPU)
    found = job.maps(pair, None)["main"]
    assert torch.equal(found, job.model(pair.moving, pair.fixed).values)


def test_segmenter_learns_from_a_class(tiny_datasets):
    task = Changes(change="CSF")
    training = job_of(tiny_datasets[2], task, "model=change_segmenter").trainable
    pair = training.training.batch(range(2), CPU)
    fixed, truth = training._changed(pair, [1, 2])
    assert torch.equal(fixed, pair.fixed)
    label = tiny_datasets[2].class_names.index("CSF")
    assert torch.equal(truth, pair.segmentations[1] == label)


@pytest.mark.parametrize("model", ["change_segmenter", "image_vae"])
def test_stopped_training_goes_on_to_the_same_network(model, tiny_datasets, tmp_path):
    dataset = changed(tiny_datasets[2])
    options = [f"model={model}", "trainer.steps=4", "trainer.validate_every=2"]
    options += ["trainer.batch_size=2"]
    states = []
    for name, stops in (("whole", False), ("stopped", True)):
        (tmp_path / name).mkdir()
        job = job_of(dataset, Changes(), *options)
        settings = job.setup.experiment.settings
        if stops:
            fit_until_death(job.trainable, settings, tmp_path / name, job.seed)
            job = job_of(dataset, Changes(), *options)
        fit(job.trainable, settings, tmp_path / name, job.seed)
        states.append(job.model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize(
    ("task", "options", "error", "said"),
    [
        (
            Registration(),
            ["model=image_vae"],
            Unsupported,
            "model=image_vae cannot be used with task=registration: it maps changes and registers",
        ),
        (
            Changes(),
            ["model=change_segmenter"],
            Unsupported,
            "model=change_segmenter: trains on masks of change, and the data have none",
        ),
        (Changes(), ["model=image_vae", "model.latent=0"], ConfigError, "model.latent=0: must be"),
        (
            Changes(),
            ["model=image_vae", "+model.integrate=7"],
            ConfigError,
            "model.integrate=7: does not apply to model=image_vae, whose output is a map",
        ),
    ],
)
def test_what_does_not_fit_is_refused(task, options, error, said, tiny_datasets):
    with pytest.raises(error, match=f"^{said}"):
        job_of(tiny_datasets[2], task, *options)
