"""Autoencoder: features without labels (DeepSim_ae)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from bench.extractors.surrogate import FullResolutionFeatures

FLAT, FLAT_GRADIENT = 12, 0.01  # logit from which on the sigmoid is flat, and its gradient there


class Autoencoder(FullResolutionFeatures):
    """The backbone without skips, reconstructing its input through a sigmoid.

    Trained on the mean squared error of intensities in [0, 1]. Source: Czolbe et al., MIDL 2021
    and MIA 2023.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the image.
        classes: Not used; surrogate networks are all built alike.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
    """

    task = "autoencoder"
    needs_labels = False

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        classes: int,
        channels: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        dropout: bool = True,
    ) -> None:
        super().__init__(ndim, image_channels, image_channels, channels, norm, dropout, skips=False)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction (B, C, *S) in [0, 1].

        Where the sigmoid is flat, its gradient is taken to be `FLAT_GRADIENT`: a wide network
        that oscillates in its first steps would otherwise be stuck there for good.
        """
        logits = self.network(image).float()
        flat = logits.abs() > FLAT
        return logits.sigmoid() + flat * FLAT_GRADIENT * (logits - logits.detach())

    def start_from(self, images: Tensor) -> None:
        """Lets training start from the mean intensity of some images (N, C, *S).

        From the default initialization the output's scale can run off below zero, where the
        sigmoid's gradient is none, before the network tells bright from dark: on volumes that are
        mostly padding it does so within ten steps.
        """
        mean = images.mean(dim=[0, *range(2, images.ndim)]).clamp(0.01, 0.99)
        last = self.network.head[-1]
        assert isinstance(last.bias, Tensor)
        last.bias.data.copy_(mean.logit())

    def loss(self, output: Tensor, image: Tensor, segmentation: Tensor | None) -> Tensor:
        """Mean squared error of the reconstruction, of what a sigmoid can reach of the image.

        Noise takes intensities out of [0, 1]. They would pull the logits on for ever where the
        sigmoid is flat, since the gradient there does not end.
        """
        return F.mse_loss(output, image.clamp(0, 1))

    def score(self, output: Tensor, image: Tensor, segmentation: Tensor | None) -> dict[str, float]:
        """`reconstruction_error`: root of the mean squared error."""
        return {"reconstruction_error": float(self.loss(output, image, segmentation).sqrt())}
