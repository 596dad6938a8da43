"""The task synthesis: problems, loss, samples, judges, and scores against other formulas."""

import math

import pytest
import torch
from conf_options import in_contrasts, names, setup_of, tiny_experiment
from torch import nn

from bench.config.composition import register_resolvers
from bench.data.batches.augmentation import Augmentation
from bench.data.cache.preparing import prepare
from bench.data.setup import make_source
from bench.errors import BenchError, ConfigError, Unsupported
from bench.runs.execution import make_task
from bench.scores.synthesis import psnr
from bench.similarity import MSE, SSIM
from bench.spatial.resolution import coarsen
from bench.store.checkpoints import save_network
from bench.tasks.synthesis.judging import Judges, Shown, make_judges
from bench.tasks.synthesis.network import Synthesizer, synthesize
from bench.tasks.synthesis.problems import PROBLEMS, Problem
from bench.tasks.synthesis.training import Loss, TrainingSubjects

register_resolvers()
CPU = torch.device("cpu")
TASK = ["task=synthesis", "task.channels=[4,8]", "metric=mse"]
OF_LABELS = ("dice", "keypoints", "ncc_sup")
EXTRACTOR = "dataset.recommended.short.channels={autoencoder:[4,8],segmenter:[4,8]}"


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def job_on(dataset, *overrides: str):
    experiment = tiny_experiment(dataset.ndim, *TASK, EXTRACTOR, *overrides)
    setup = setup_of(experiment, dataset)
    return make_task(setup).assemble(setup)


def test_noise_has_its_deviation_and_follows_from_the_seed():
    truth = torch.zeros(2, 1, 60, 70)
    problem = Problem("denoise", 0.2, 4)
    seen = problem.input(truth, truth, [1, 2])
    assert float(seen.std()) == pytest.approx(0.2, rel=0.02)
    assert torch.equal(problem.input(truth, truth, [1, 2]), seen)
    assert torch.equal(problem.input(truth, truth, [2, 1]), seen.flip(0))


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_coarser_image_is_of_block_means_and_keeps_a_ramp_in_place(shape):
    problem = Problem("upsample", 0.1, 2)
    truth = images(2, 1, *shape)
    seen = problem.input(truth, truth, [0, 0])
    assert seen.shape == truth.shape
    even = [2 * (size // 2) for size in shape]
    whole = truth[(..., *(slice(0, size) for size in even))]
    means = coarsen(whole, 2, torch.Size(size // 2 for size in even))
    middle = tuple(slice(2, size - 4) for size in even)
    # means of interpolated blocks are means weighted 1/8, 6/8, 1/8 along each axis
    expected = means
    for axis in range(2, means.ndim):
        n = means.shape[axis]
        parts = [expected.narrow(axis, start, n - 2) for start in range(3)]
        expected = (parts[0] + 6 * parts[1] + parts[2]) / 8
        means = means.narrow(axis, 1, n - 2)
    found = coarsen(seen[(..., *(slice(0, s) for s in even))], 2, torch.Size(s // 2 for s in even))
    inner = tuple(slice(1, size // 2 - 1) for size in even)
    torch.testing.assert_close(found[(..., *inner)], expected)
    ramp = torch.arange(shape[0]).float().view(1, 1, -1, *[1] * (len(shape) - 1))
    ramp = ramp.expand(1, 1, *shape).contiguous()
    torch.testing.assert_close(problem.input(ramp, ramp, [0])[(..., *middle)], ramp[(..., *middle)])


def test_contrast_is_made_from_the_moving_channels(datasets_of_channels):
    source, target = images(1, 1, 8, 8), images(1, 1, 8, 8, seed=1)
    assert Problem("contrast", 0.1, 4).input(source, target, [0]) is source
    with pytest.raises(Unsupported, match="moving and fixed images of dataset=demo show the same"):
        job_on(datasets_of_channels[2, 2], "task.problem=contrast", *in_contrasts(2))
    same = [*in_contrasts(2), "dataset.moving=0", "dataset.fixed=0"]
    dataset = prepare(make_source(tiny_experiment(2, *same)), None)
    with pytest.raises(Unsupported, match=r"the same 1 channel\(s\), and one contrast is made"):
        job_on(dataset, "task.problem=contrast", *same)
    with pytest.raises(Unsupported, match=r"the same 1 channel\(s\), and one contrast is made"):
        job_on(datasets_of_channels[2, 1], "task.problem=contrast")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("task.problem=deblur", "task.problem=deblur: must be one of denoise, upsample, contrast."),
        ("task.noise=0", "task.noise=0: must be a finite number above 0"),
        ("task.coarsening=1.5", "task.coarsening=1.5: must be a whole number of at least 2."),
        ("task.patch=0", "task.patch=0: must be a whole number of at least 1, or null."),
        ("task.problem=null", "task.problem=null: must be one of denoise, upsample, contrast."),
        ("task.channels=null", "task.channels=null: must be a list of whole numbers above 0"),
        ("task.channels=[4,x]", "task.channels=[4,x]: must be a list of whole numbers above 0"),
        ("metric@task.judges.segmenter=mse", "metric@task.judges.segmenter=mse: has no segmenter."),
    ],
)
def test_options_that_cannot_be_are_refused(override, said, tiny_datasets):
    with pytest.raises(ConfigError) as caught:
        job_on(tiny_datasets[2], override)
    assert said in str(caught.value)


@pytest.mark.parametrize("factor", ["-0.1", "null", "true", "much"])
def test_factor_is_a_number_of_at_least_0(factor):
    with pytest.raises(ConfigError, match=r"task.factor=.*c, the factor of the metric in the loss"):
        tiny_experiment(2, "task=synthesis", "metric=ncc", f"task.factor={factor}")


def test_error_alone_has_no_factor_and_other_losses_have():
    alone = [tiny_experiment(2, *TASK, f"task.factor={c}") for c in (0.1, 2)]
    assert [one.tuned for one in alone] == [None, None]
    assert alone[0].config == alone[1].config
    masked = tiny_experiment(2, *TASK, "metric.mask=foreground", "task.factor=2")
    assert masked.tuned == 2


def test_judges_learn_under_their_own_seed_on_the_same_data(tiny_datasets):
    setups = setup_of(tiny_experiment(2, *TASK, "seed=5"), tiny_datasets[2]).judges()
    assert {name: one.experiment["metric"]["name"] for name, one in setups.items()} == {
        "distance": "deepsim_ae",
        "segmenter": "deepsim_seg",
    }
    assert {one.experiment.seed for one in setups.values()} == {1}
    with pytest.raises(ConfigError, match="judges learn on the data that they judge"):
        tiny_experiment(2, *TASK, "task.judges.distance.extractor.dataset=brain").judges()
    with pytest.raises(ConfigError, match=r"task.judge_seed=-1: must be a whole number"):
        tiny_experiment(2, *TASK, "task.judge_seed=-1").judges()


def test_features_that_are_the_loss_do_not_judge(tiny_datasets):
    kept = [EXTRACTOR, "metric.extractor.steps=5"]
    for metric, is_left_out in (("deepsim_ae", True), ("deepsim_csr", False)):
        experiment = tiny_experiment(2, *TASK[:2], f"metric={metric}", *kept)
        judges, learners = make_judges(setup_of(experiment, tiny_datasets[2]))
        assert (judges.distance is None) == is_left_out
        assert len(learners) == 2 - is_left_out
    random = tiny_experiment(
        2, *TASK[:2], "metric=deepsim_ae", "metric.extractor.steps=0", EXTRACTOR
    )
    assert make_judges(setup_of(random, tiny_datasets[2]))[0].distance is not None


@pytest.mark.parametrize(
    ("left_out", "judges"),
    [
        ("task.judges=null", set()),
        ("~task.judges", set()),
        ("~task.judges.distance", {"dice"}),
        ("~task.judges.segmenter", {"distance"}),
    ],
)
def test_judges_may_be_left_out(left_out, judges, tiny_datasets, tmp_path, capsys):
    job = job_on(tiny_datasets[2], left_out)
    save_network(tmp_path / "best", job.network, {})
    job.make_ready(tmp_path / "best")
    assert capsys.readouterr().out == ""
    (case,) = list(job.test([]))[:1]
    assert set(case.scores) - {"dice_truth"} == {"psnr", "ssim"} | judges


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["task.judges=abc"], r"^task.judges=abc: must be a section of judges, or null for none\."),
        (
            ["task.judges.distance=null"],
            r"^task.judges.distance=null: must be a metric.* leaves it",
        ),
        (
            ["task.judges.distance.extractor=abc"],
            r"^task.judges.distance.extractor=abc: must be a s",
        ),
        (
            ["task.judges.distance.extractor.steps=abc"],
            r"^task.judges.distance.extractor.steps=abc",
        ),
        (
            ["task.judges.segmenter.extractor.trainer={lr:-1}"],
            r"^task.judges.segmenter.extractor.trainer.lr=-1: must be a finite number above 0",
        ),
        (["task.judges.distance.name=a/b"], r"^task.judges.distance.name=a/b: must consist of"),
    ],
)
def test_judge_that_is_none_is_named(overrides, line):
    with pytest.raises(ConfigError, match=line):
        tiny_experiment(2, *TASK, *overrides)


def test_unknown_judge_is_refused(tiny_datasets):
    with pytest.raises(ConfigError, match=r"Unknown task.judges.other. Known: distance, segm"):
        job_on(tiny_datasets[2], "+metric@task.judges.other=mse")


def test_loss_is_the_error_and_c_times_the_metric():
    output, target = images(2, 1, 9, 11), images(2, 1, 9, 11, seed=1)
    error = float((output - target).square().mean())
    found = Loss(SSIM(), 0.5)(output, target)
    dissimilarity = float(found["similarity"])
    assert float(found["mse"]) == pytest.approx(error)
    assert 0 < dissimilarity < 2
    assert float(found["loss"]) == pytest.approx(error + 0.5 * dissimilarity)
    assert set(Loss(MSE(), None)(output, target)) == {"loss", "mse"}


@pytest.mark.parametrize("ndim", [2, 3])
def test_samples_are_patches_of_both_images_at_one_place(ndim, datasets_of_channels):
    dataset = datasets_of_channels[ndim, 1]
    plain = Augmentation.from_config({})
    subjects = TrainingSubjects(dataset, plain, 0, 12)
    source, target = subjects.images(range(4), CPU)
    assert torch.equal(source, target)  # both roles show the same channels
    assert target.shape[2:] == tuple(min(12, size) for size in dataset.shape)
    again = [subjects.images([position], CPU)[1] for position in range(4)]
    assert torch.equal(torch.cat(again), target)  # whatever the batch
    whole = TrainingSubjects(dataset, plain, 0, None).images(range(4), CPU)[1]
    assert whole.shape[2:] == dataset.shape
    for patch, image in zip(target, whole, strict=True):
        assert _holds(image, patch)


def _holds(image: torch.Tensor, patch: torch.Tensor) -> bool:
    windows = image
    for axis, size in enumerate(patch.shape[1:], start=1):
        windows = windows.unfold(axis, size, 1)
    same = (windows == patch.view(1, *[1] * (patch.ndim - 1), *patch.shape[1:])).flatten(patch.ndim)
    return bool(same.all(-1).any())


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_restoration_starts_as_the_identity_and_learns(shape):
    torch.manual_seed(0)
    image = images(1, 2, *shape)
    network = Synthesizer(len(shape), 2, [4, 8], restores=True)
    assert torch.equal(synthesize(network, image, torch.float32), image)
    network(image).square().mean().backward()
    assert float(network.network.head[-1].weight.grad.abs().sum()) > 0
    other = Synthesizer(len(shape), 2, [4, 8], restores=False)
    assert other(image).shape == image.shape
    assert not torch.equal(other(image), image)


def test_psnr_by_hand():
    truth = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    image = truth + torch.tensor([[0.1, -0.1], [0.3, -0.3]])
    error = (0.01 + 0.01 + 0.09 + 0.09) / 4
    assert psnr(image, truth) == pytest.approx(20 * math.log10(2 / math.sqrt(error)), rel=1e-6)
    assert psnr(truth, truth) == math.inf
    assert math.isnan(psnr(image, torch.ones(2, 2)))


def test_psnr_and_ssim_are_monais():
    from monai.metrics import PSNRMetric, SSIMMetric

    truth = images(1, 1, 24, 30)
    truth = (truth - truth.min()) / (truth.max() - truth.min())
    image = truth + 0.1 * images(1, 1, 24, 30, seed=1)
    shown = Shown("one", image, truth, None)
    found = Judges(None, None, 0).scores(image, shown)
    assert set(found) == {"psnr", "ssim"}
    assert found["psnr"] == pytest.approx(float(PSNRMetric(1.0)(image, truth)), rel=1e-5)
    ssim = SSIMMetric(2, data_range=1.0, win_size=7)(image, truth)
    assert found["ssim"] == pytest.approx(float(ssim), rel=1e-5)


def test_dice_is_of_the_segmenters_labels():
    class Threshold(nn.Module):
        def forward(self, image):
            return torch.cat([0.5 - image, image - 0.5], dim=1)

    truth = torch.zeros(1, 1, 8, 8)
    truth[..., :4] = 1
    labels = truth.to(torch.uint8)
    image = torch.zeros_like(truth)
    image[..., :2] = 1  # half of the class
    judges = Judges(None, Threshold(), 2)
    shown = Shown("one", image, truth, labels)
    assert judges.dice(truth, labels) == 1
    assert judges.scores(image, shown)["dice"] == pytest.approx(2 * 16 / (16 + 32))


def with_metric(metric: str, problem: str, datasets, vgg_weights):
    """The job of a metric; of two contrasts, the first is moving and the second fixed."""
    dataset = datasets[2, 2 if problem == "contrast" else 1]
    overrides = ["task=synthesis", "task.channels=[4,8]", EXTRACTOR, f"metric={metric}"]
    overrides += [f"task.problem={problem}", "task.coarsening=2"]
    overrides += [f"metric.extractor.state_dict={vgg_weights}"] if metric == "vgg" else []
    if problem == "contrast":
        roles = {"moving": [0], "fixed": [1]}
        index = {**dataset.index, "roles": roles, "channels": 1, "stored_channels": 2}
        dataset = type(dataset)(dataset.folder, index, dataset.pairing)
    setup = setup_of(tiny_experiment(2, *overrides), dataset)
    return make_task(setup).assemble(setup)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("metric", [name for name in names("metric") if name not in OF_LABELS])
def test_every_metric_of_images_is_a_loss(problem, metric, datasets_of_channels, vgg_weights):
    job = with_metric(metric, problem, datasets_of_channels, vgg_weights)
    losses = job.trainable.loss(job.network, range(2), CPU)
    losses["loss"].backward()
    size = float(job.network.network.head[-1].weight.grad.abs().sum())
    assert 0 < size < math.inf


@pytest.mark.parametrize("metric", OF_LABELS)
def test_metrics_of_labels_are_refused(metric, datasets_of_channels, vgg_weights):
    with pytest.raises(Unsupported, match=f"metric={metric} cannot be used with task=synthesis"):
        with_metric(metric, "denoise", datasets_of_channels, vgg_weights)


def test_images_of_several_sizes_do_not_fit_into_one_batch(tiny_datasets):
    dataset = tiny_datasets[2]
    index = {**dataset.index, "shapes": [list(dataset.shape)] * len(dataset.ids)}
    several = type(dataset)(dataset.folder, index, dataset.pairing)
    assert job_on(several, "trainer.batch_size=1")
    with pytest.raises(Unsupported, match=r"trainer.batch_size=8: .* images of different sizes"):
        job_on(several)


def test_coarser_voxels_must_fit_into_the_image(tiny_datasets):
    with pytest.raises(Unsupported, match=r"images has 17 voxels, .*\. Choose a smaller one\.$"):
        job_on(tiny_datasets[2], "task.problem=upsample", "task.coarsening=9")
    with pytest.raises(Unsupported, match=r"patch=7 has 7 voxels, .* or task.patch=8 or larger"):
        job_on(tiny_datasets[2], "task.problem=upsample", "task.patch=7")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/nope.pth", "task.judges.distance.extractor.state_dict=/nope.pth: no such file."),
        ("/nope.pth", "or task.judges.distance.extractor.state_dict=null to download it."),
        ("null", "pass task.judges.distance.extractor.state_dict=FILE."),
    ],
)
def test_what_fails_in_a_judge_is_said_of_the_judge(file, said, tiny_datasets, monkeypatch):
    monkeypatch.setattr("bench.extractors.vgg.URL", "file:///nowhere/vgg16.pth")
    with pytest.raises(BenchError) as caught:
        job_on(
            tiny_datasets[2],
            "metric@task.judges.distance=vgg",
            f"task.judges.distance.extractor.state_dict={file}",
        )
    assert said in str(caught.value)
