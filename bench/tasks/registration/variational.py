"""Registration by a network that predicts a distribution of displacements, for the trainer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.data.batches.loading import TrainingPairs
from bench.models.method import Objective
from bench.models.variational import LEAST_LOG_VARIANCE, Variational, collapsed_share, sample
from bench.pair import Pair
from bench.similarity.likelihood import Likelihood
from bench.tasks.registration.masks import Masks
from bench.tasks.registration.training import NetworkTraining

COLLAPSED = 0.5  # share of the variances at their floor from which on a run warns


class VariationalTraining(NetworkTraining):
    """Minimizes -log p(J | I, z) + KL per voxel over the training pairs, z drawn anew each time.

    `similarity` of its losses is the first term. The prior's strength is solved for in each batch;
    validation uses its running mean and the mean displacement.

    Args:
        name: How messages call it.
        network: The network.
        description: What checkpoints say about the network.
        objective: Says which metric's features or intensities are compared.
        training: The training pairs; its data set's validation pairs are validated on.
        likelihood: Of the fixed image.
        masks: Of fixed subjects, within which scores count; None for everywhere.
    """

    def __init__(
        self,
        name: str,
        network: Variational,
        description: dict[str, Any],
        objective: Objective,
        training: TrainingPairs,
        likelihood: Likelihood,
        masks: Masks | None = None,
    ) -> None:
        super().__init__(name, network, description, objective, training, masks)
        self.likelihood = likelihood
        self.advice = "trainer.clip_norm=0.1"

    def loss(
        self, network: Callable[..., Any], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """`loss`, `similarity`, `kl`, the prior's strength and the share of collapsed variances."""
        pair = self.training.batch(positions, device)
        posterior = network(pair.moving, pair.fixed)
        assert isinstance(self.network, Variational)
        strength = self.network.fitted_strength(posterior)
        self.network.remember(strength)
        drawn = pair.at(sample(posterior))
        similarity = self.likelihood.map(drawn, posterior.log_noise).mean()
        kl = self.network.kl_map(posterior, strength).mean()
        return {
            "loss": similarity + kl,
            "similarity": similarity,
            "kl": kl,
            "log_alpha": strength.log_alpha,
            "log_beta": strength.log_beta,
            "collapsed": collapsed_share(posterior),
        }

    def warnings(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """What a training should be distrusted for: a posterior that has collapsed.

        Args:
            history: A row per validation.
        """
        for row in history:
            share = row.get("train_collapsed", 0.0)
            if share >= COLLAPSED:
                return [
                    f"the posterior has collapsed: at step {row['step']:g}, {share:.0%} of its "
                    f"variances are at their floor of e^{LEAST_LOG_VARIANCE:g} squared voxels, so "
                    "its KL divergence says little of changes. Fewer trainer.steps end before that."
                ]
        return []

    def _validated(
        self, network: Callable[..., Any], pair: Pair, first: int
    ) -> tuple[Pair, dict[str, Tensor]]:
        posterior = network(pair.moving, pair.fixed)
        assert isinstance(self.network, Variational)
        moved = pair.at(posterior.mean)
        similarity, kl = surprise(self.likelihood, self.network, moved, posterior)
        values = {"loss": similarity + kl, "similarity": similarity, "kl": kl}
        return moved, {name: value.flatten(1).mean(1) for name, value in values.items()}


def surprise(
    likelihood: Likelihood, network: Variational, pair: Pair, posterior: Any
) -> tuple[Tensor, Tensor]:
    """-log p(J | I, μ) and the KL divergence from the prior of tests, voxel by voxel; (B, *S) each.

    Args:
        likelihood: Of the fixed image.
        network: Knows the prior's strength.
        pair: The batch under the posterior's mean.
        posterior: `bench.models.flow.Posterior`.
    """
    reconstruction = likelihood.map(pair, posterior.log_noise)
    return reconstruction, network.kl_map(posterior, network.strength)
