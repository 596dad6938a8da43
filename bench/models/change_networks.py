"""Networks that map changes themselves and register nothing: baselines of the task of changes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.models.flow import Suspected
from bench.models.unet import FullResolution, Head, UNet, convolution
from bench.spatial.resolution import crop_to, pad_to_multiple


class ChangeNetwork(nn.Module, ABC):
    """(moving, fixed) -> `Suspected`, a map on the fixed image's grid.

    Attributes:
        needs_truth: Whether it learns from masks of change; otherwise from single images.
    """

    needs_truth: ClassVar[bool]

    @abstractmethod
    def losses(self, output: Suspected, truth: Tensor | None) -> dict[str, Tensor]:
        """Losses (B,) of a batch, `loss` among them.

        Args:
            output: What it returned.
            truth: Masks (B, 1, *S) bool, if it needs any.
        """


class ImageVAE(ChangeNetwork):
    """A variational autoencoder of single images, whose map is the error of the reconstruction.

    It is trained on moving images: the negative log likelihood of an image of independent Gaussians
    of one learned variance, plus the KL divergence of the latent maps from standard normal ones,
    per voxel. Source: An and Cho, "Variational autoencoder based anomaly detection using
    reconstruction probability", 2015; as a baseline in arXiv:2106.08233.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first.
        latent: Latent channels at each place of the coarsest stage.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
    """

    needs_truth = False

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256),
        latent: int = 16,
        norm: bool = False,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(latent, int) or isinstance(latent, bool) or latent < 1:
            raise ConfigError(
                f"model.latent={quoted(latent)}: must be a whole number of at least 1."
            )
        self.backbone = UNet(ndim, image_channels, channels, norm, dropout, skips=False)
        self.head = Head(ndim, self.backbone.outputs, image_channels, last_kernel=3)
        width = channels[-1]
        self.latent = convolution(ndim, width, 2 * latent, kernel=1)
        self.expand = convolution(ndim, latent, width, kernel=1)
        self.log_noise = nn.Parameter(torch.full((), -3.0))

    def forward(self, moving: Tensor, fixed: Tensor) -> Suspected:
        """The squared error of the fixed image's reconstruction, mean over channels."""
        features = self.backbone.encoder(pad_to_multiple(fixed, self.backbone.stride))[-1]
        mean, log_variance = self.latent(features).float().chunk(2, dim=1)
        drawn = mean
        if self.training:
            drawn = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        first, *others = self.backbone.decoder
        features = first(self.expand(drawn))
        for layer in others:
            features = layer(features, None)
        image = crop_to(self.head(features, None), fixed.shape[2:]).float()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        voxels = fixed[0, 0].numel()
        return Suspected((image - fixed).square().mean(1), divergence.flatten(1).sum(1) / voxels)

    def losses(self, output: Suspected, truth: Tensor | None) -> dict[str, Tensor]:
        """`loss`, `reconstruction` and `kl`, per voxel."""
        assert output.kl is not None
        errors = output.values.flatten(1).mean(1)
        reconstruction = (errors * (-self.log_noise).exp() + self.log_noise) / 2
        loss = reconstruction + output.kl
        return {"loss": loss, "reconstruction": reconstruction, "kl": output.kl}


class ChangeSegmenter(ChangeNetwork):
    """A U-Net on the concatenated pair that predicts where the fixed image has changed.

    It is trained on the cross-entropy against masks of change, and so an upper bound of what finds
    changes without them. Source of the baseline: arXiv:2106.08233.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
    """

    needs_truth = True

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: bool = False,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        backbone = UNet(ndim, 2 * image_channels, channels, norm, dropout)
        self.network = FullResolution(backbone, Head(ndim, backbone.outputs, 1, last_kernel=3))

    def forward(self, moving: Tensor, fixed: Tensor) -> Suspected:
        """The log odds of a change."""
        return Suspected(self.network(torch.cat([moving, fixed], dim=1))[:, 0].float(), None)

    def losses(self, output: Suspected, truth: Tensor | None) -> dict[str, Tensor]:
        """`loss`, the cross-entropy."""
        assert truth is not None
        wanted = truth[:, 0].to(output.values)
        entropies = F.binary_cross_entropy_with_logits(output.values, wanted, reduction="none")
        return {"loss": entropies.flatten(1).mean(1)}
