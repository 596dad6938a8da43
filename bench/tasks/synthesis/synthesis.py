"""The task of synthesis: its options, its work and its figure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.analysis.plots.registered import plane_to_show
from bench.analysis.plots.synthesis import Planes, draw_synthesized
from bench.config.overrides import quoted
from bench.config.synthesis import DISTANCE
from bench.data.batches.augmentation import Augmentation
from bench.data.setup import Setup
from bench.errors import ConfigError, DataError
from bench.models.layout import to_channels_last
from bench.models.unet import check_channels
from bench.pair import Pair
from bench.seeding import derive_seed
from bench.similarity.building import Learner
from bench.store.checkpoints import load_network
from bench.store.layout import IMAGES, SHOWN
from bench.tasks.registration.assembly import make_metric, refuse_batches, require_images
from bench.tasks.registration.testing import earlier
from bench.tasks.synthesis.judging import (
    Judges,
    Shown,
    check_metric,
    is_the_loss,
    make_judges,
    without_labels,
)
from bench.tasks.synthesis.network import Synthesizer, synthesize
from bench.tasks.synthesis.problems import Problem
from bench.tasks.synthesis.training import Loss, SynthesisTraining, TrainingSubjects
from bench.tasks.task import Row, TestCase
from bench.tasks.values import value_of
from bench.training.devices import network_precision, single_device


class Synthesis:
    """A network is trained to make images, by the mean squared error and a metric.

    Args:
        problem: `denoise`, `upsample`, or `contrast`: the fixed image of a subject from the moving.
        factor: c, of the metric in the loss; None for the mean squared error alone.
        noise: As of `bench.tasks.synthesis.problems.Problem`.
        coarsening: Likewise.
        channels: Width of each stage of the network, finest first.
        patch: Edge of training patches in voxels; None trains on whole images.
    """

    tables = (IMAGES,)

    def __init__(
        self,
        problem: str,
        factor: float | None,
        noise: float,
        coarsening: int,
        channels: Sequence[int],
        patch: int | None,
    ) -> None:
        if patch is not None and (not isinstance(patch, int) or isinstance(patch, bool)):
            raise _bad_patch(patch)
        if patch is not None and patch < 1:
            raise _bad_patch(patch)
        check_channels(channels, "task.channels")
        self.problem = Problem(problem, noise, coarsening)
        self.factor = factor
        self.channels = channels
        self.patch = patch

    def assemble(self, setup: Setup) -> "SynthesisJob":
        """Builds network, metric and judges, and tries them on one image.

        Raises:
            Unsupported: If they do not go together with the data.
            ConfigError: If one of them cannot be built or does not return what it should.
            DataError: If a split has no subjects.
        """
        dataset = setup.dataset
        for split in ("train", "val", "test"):
            dataset.some_members(split)
        self.problem.check(dataset, self.patch)
        metric, learners = make_metric(setup)
        check_metric(metric, setup)
        require_images(learners)
        refuse_batches(None, learners, setup)
        judges, of_judges = make_judges(setup)
        job = SynthesisJob(setup, self, metric, judges, [*learners, *of_judges])
        job.try_out()
        return job


def _bad_patch(patch: Any) -> ConfigError:
    return ConfigError(
        f"task.patch={quoted(patch)}: must be a whole number of at least 1, or null."
    )


class SynthesisJob:
    """The work of one run of synthesis; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        task: What is made, and how.
        metric: D of the loss.
        judges: What scores images.
        learners: Networks in metric and judges that learn.
    """

    def __init__(
        self,
        setup: Setup,
        task: Synthesis,
        metric: Any,
        judges: Judges,
        learners: Sequence[Learner],
    ) -> None:
        experiment, dataset = setup.experiment, setup.dataset
        self.setup = setup
        self.dataset = dataset
        self.problem = task.problem
        self.factor = task.factor
        self.judges = judges
        self.learners = learners
        self.name = f"{experiment['metric']['name']} {task.problem.name} on {dataset.name}"
        self.seed = derive_seed(experiment.seed, dataset.name, "synthesis")
        self.facts: Mapping[str, Any] = {"problem": task.problem.name}
        if judges.distance is not None:  # D counts in units of its metric
            judge = experiment["task"]["judges"][DISTANCE]["name"]
            self.facts = {**self.facts, "units": {"distance": judge}}
        self.device = single_device(experiment.settings)
        torch.manual_seed(derive_seed(experiment.seed, dataset.name, "synthesizer"))
        self.network = Synthesizer(
            dataset.ndim, dataset.channels, task.channels, task.problem.is_restoration
        )
        augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
        subjects = TrainingSubjects(dataset, augmentation, experiment.seed, task.patch)
        self.trainable = SynthesisTraining(
            self.name,
            self.network,
            {"network": {"task": "synthesis", "channels": list(task.channels)}},
            task.problem,
            Loss(metric, task.factor),
            subjects,
            judges,
            self.seed,
        )

    def try_out(self) -> None:
        """The loss of one training patch, so that what does not fit is said before training.

        Raises:
            ConfigError: If the metric fails, or has no gradient in the image.
            Unsupported: If it cannot take the images, or looks at labels.
        """
        source, target = self.trainable.training.images([0], torch.device("cpu"))
        made = self.problem.input(source, target, [0]).requires_grad_()
        name = f"metric={self.setup.experiment['metric']['name']}"
        metric = self.trainable.criterion.metric
        try:
            value = value_of(name, metric, Pair(made, target), "on the first training patch")
        except DataError as error:  # a pair that has no labels was asked for them
            raise without_labels(name) from error
        if not value.requires_grad:
            raise ConfigError(
                f"{name} has no gradient in the image: nothing can be learned from it. It must "
                "look at pair.warped."
            )

    def make_ready(self, best: Path) -> None:
        """Reads the best weights; moves network, metric and judges to the device."""
        load_network(best, self.network)
        to_channels_last(self.network)  # as trained: sums of other layouts round otherwise
        self.network.to(self.device).eval()
        self.trainable.prepare(self.device)
        self.precision = network_precision(self.setup.experiment.settings)
        if is_the_loss(self.setup.experiment):
            print(
                f"{self.name}: task.judges.distance looks at what the loss looks at, and is left "
                "out. Choose another judge, such as metric@task.judges.distance=deepsim_csr"
            )
        if self.judges.segmenter is None and not self.dataset.has_labels:
            print(f"{self.name}: without labels nothing says whether anatomy survives")

    def counts(self) -> Mapping[str, int]:
        """How many images are made in the test."""
        return {"validation": 0, "test": len(self.dataset.members("test"))}

    def validate(self, known: Sequence[Row]) -> Iterator[Row]:
        """Nothing, since the training has validated."""
        return iter(())

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Makes and scores the test images that no earlier start has."""
        done = {row["subject"] for case in known for row in case.rows[IMAGES]}
        for member in self.dataset.members("test"):
            if self.dataset.ids[member] not in done:
                yield self._tested(self._read(member))

    def _read(self, member: int) -> Shown:
        return Shown.read(self.dataset, member, self.problem, self.seed, self.device)

    def _tested(self, shown: Shown) -> TestCase:
        before = self.judges.scores(shown.input, shown)
        after = self.judges.scores(self._made(shown), shown)
        if self.judges.segmenter is not None:
            after["dice_truth"] = self.judges.dice(shown.truth, shown.labels)
        row = {"subject": shown.subject, **after, **earlier(before)}
        return TestCase({IMAGES: [row]}, after, before)

    def _made(self, shown: Shown) -> torch.Tensor:
        return synthesize(self.network, shown.input, self.precision)

    def over_cases(self, cases: Sequence[TestCase]) -> Mapping[str, Mapping[str, Any]]:
        """No score is of several cases."""
        return {}

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the first test image, and keeps what it shows for the panel of a report."""
        shown = self._read(self.dataset.members("test")[0])
        images = {"input": shown.input, "output": self._made(shown), "truth": shown.truth}
        arrays = {name: image[0].cpu().numpy() for name, image in images.items()}
        place = (slice(None), *plane_to_show(arrays["truth"], None))
        planes = Planes(shown.subject, **{name: a[place] for name, a in arrays.items()})
        planes.save(path.with_name(SHOWN))
        c = "" if self.factor is None else f", c = {self.factor:g}"
        draw_synthesized(path, planes, f"{self.name}{c}, {shown.subject}")
