"""A network that predicts a distribution of displacements instead of one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.models.convolution import double
from bench.models.flow import Posterior
from bench.models.prior import Strength, fitted_strength, kl_map
from bench.models.published_prior import published_kl_map, published_strength
from bench.models.pyramid import Pyramid
from bench.models.unet import FullResolution, Head, UNet, convolution
from bench.spatial.resolution import crop_to

MEAN_STD, VARIANCE_STD = 1e-5, 1e-2  # of the initial weights of either half of the last convolution
FIRST_LOG_VARIANCE = -3.0  # of the posterior, squared voxels
LEAST_LOG_VARIANCE = -14.0  # likewise; a posterior that has collapsed stays there
FIRST_LOG_NOISE = -5.0  # of the likelihood
UNET, PYRAMID = "unet", "pyramid"
ALL, OF_METRIC = "all", "metric"  # levels of the extractor
EXACT = "exact"
PRIORS = {  # how α and β are solved for, and the KL divergence
    EXACT: (fitted_strength, kl_map),
    "published": (published_strength, published_kl_map),
}
MOMENTUM = 0.1  # of the running means of log α and log β


class Variational(nn.Module):
    """The approximate posterior of the displacement, a Gaussian for each voxel and axis.

    The backbone predicts mean and log variance. Training draws a sample and minimizes the negative
    log likelihood of the fixed image, or of its features, plus the KL divergence from the prior of
    `bench.models.prior`, both per voxel; there is no λ. Registration takes the mean. Source:
    Czolbe, Feragen and Krause, arXiv:2106.08233.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        backbone: `unet`, a U-Net on the concatenated pair, or `pyramid`, see
            `bench.models.pyramid.Pyramid`, whose last hidden map gives the log variance.
        levels: Which features the likelihood compares: those of `all` levels of the extractor, or
            of the levels of the `metric`.
        prior: `exact`, or `published` for the formulas of the published code, see
            `bench.models.published_prior`.

    Attributes:
        log_noise: Log variances (K,) of the likelihood, of each channel of what it compares;
            learned. None until `compares` says how many there are.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: bool = False,
        dropout: bool = False,
        backbone: str = UNET,
        levels: str = OF_METRIC,
        prior: str = EXACT,
    ) -> None:
        super().__init__()
        if backbone not in (UNET, PYRAMID):
            raise ConfigError(f"model.backbone={quoted(backbone)}: must be {UNET} or {PYRAMID}.")
        if levels not in (ALL, OF_METRIC):
            raise ConfigError(f"model.levels={quoted(levels)}: must be {ALL} or {OF_METRIC}.")
        if prior not in tuple(PRIORS):
            raise ConfigError(f"model.prior={quoted(prior)}: must be {' or '.join(PRIORS)}.")
        self.prior = prior
        self.levels = levels
        self.ndim = ndim
        self.network: FullResolution | Pyramid
        if backbone == PYRAMID:
            self.network = Pyramid(ndim, image_channels, channels, norm, dropout)
            self.spread = convolution(ndim, channels[0], ndim, kernel=3)
            _start(self.spread, slice(None), VARIANCE_STD, FIRST_LOG_VARIANCE)
        else:
            unet = UNet(ndim, 2 * image_channels, channels, norm, dropout)
            head = Head(ndim, unet.outputs, 2 * ndim, last_kernel=3)
            _start(head[-1], slice(ndim), MEAN_STD, 0)
            _start(head[-1], slice(ndim, None), VARIANCE_STD, FIRST_LOG_VARIANCE)
            self.network = FullResolution(unet, head)
        self.log_noise: nn.Parameter | None = None
        self.register_buffer("log_strength", torch.zeros(2))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def compares(self, count: int) -> None:
        """Makes room for the log variances of what the likelihood compares, `count` channels."""
        self.log_noise = nn.Parameter(torch.full((count,), FIRST_LOG_NOISE))

    def forward(self, moving: Tensor, fixed: Tensor) -> Posterior:
        """The posterior for two images (B, C, *S) of any size."""
        if isinstance(self.network, Pyramid):
            mean, hidden = self.network.refined(moving, fixed)
            log_variance = crop_to(double(self.spread(hidden).float()), mean.shape[2:])
        else:
            output = self.network(torch.cat([moving, fixed], dim=1)).float()
            mean, log_variance = output.split(self.ndim, dim=1)
        return Posterior(mean, log_variance.clamp(min=LEAST_LOG_VARIANCE), self.log_noise)

    def fitted_strength(self, posterior: Posterior) -> Strength:
        """The strength of the prior that fits a batch of posteriors best."""
        fit, _ = PRIORS[self.prior]
        return fit(posterior.mean, posterior.log_variance)

    def kl_map(self, posterior: Posterior, strength: Strength) -> Tensor:
        """KL divergence (B, *S) of posteriors from the prior, voxel by voxel."""
        _, divergence = PRIORS[self.prior]
        return divergence(posterior.mean, posterior.log_variance, strength)

    @torch.no_grad()
    def remember(self, strength: Strength) -> None:
        """Takes the prior's strength for a batch into the running means, which tests use."""
        assert isinstance(self.log_strength, Tensor)
        assert isinstance(self.batches, Tensor)
        share = 1.0 if self.batches == 0 else MOMENTUM
        self.log_strength.lerp_(torch.stack(strength), share)
        self.batches += 1

    @property
    def strength(self) -> Strength:
        """The prior's strength in tests."""
        assert isinstance(self.log_strength, Tensor)
        return Strength(self.log_strength[0], self.log_strength[1])


def _start(layer: nn.Module, outputs: slice, std: float, bias: float) -> None:
    """Draws the weights of some of a convolution's outputs from N(0, std), and sets their bias."""
    assert isinstance(layer, nn.Conv2d | nn.Conv3d)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight[outputs].normal_(std=std)
        layer.bias[outputs] = bias


def sample(posterior: Posterior) -> Tensor:
    """A displacement (B, D, *S) drawn from the posterior, differentiable in it."""
    deviation = (posterior.log_variance / 2).exp()
    return posterior.mean + deviation * torch.randn_like(deviation)


def collapsed_share(posterior: Posterior) -> Tensor:
    """Share of the voxels and axes whose variance is at its floor."""
    return (posterior.log_variance <= LEAST_LOG_VARIANCE).float().mean()
