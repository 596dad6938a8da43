"""The backbone that registration, segmentation and autoencoding share.

Source: Czolbe et al., MIDL 2021 and MIA 2023 (network description and published code).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.models.convolution import (
    CHANNELS_LAST,
    Chain,
    Convolution2d,
    Convolution3d,
    convolve,
    convolve_doubled,
    double,
    run,
)
from bench.spatial.resolution import crop_to, pad_to_multiple

NEGATIVE_SLOPE = 0.2
SLABS = 4  # of a head that recomputes
REACH = 2  # of a head, in voxels before doubling: interpolation and three convolutions of edge 3


def convolution(ndim: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    """A 2D or 3D convolution with the padding that keeps (or, at stride 2, halves) the size."""
    layer = {2: Convolution2d, 3: Convolution3d}[ndim]
    return layer(inputs, outputs, kernel, stride, padding=1 if kernel > 1 else 0)


class Norm(nn.Module):
    """Batch normalization in float32, whatever the precision around it."""

    def __init__(self, ndim: int, channels: int) -> None:
        super().__init__()
        self.layer = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[ndim](channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


class Joining(nn.Sequential):
    """Layers of which the first convolves a doubled map together with another one."""

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, outputs, *2S) from a map (B, C, *S) and one (B, K, *2S), C + K the input's channels.

        They are convolved each with its share of the weights and never put together: the largest
        map of all need not be, and one without gradient costs none.
        """
        first, *others = self
        assert isinstance(first, nn.Conv2d | nn.Conv3d)
        of_map, of_skip = first.weight.tensor_split([x.shape[1]], dim=1)
        x = convolve_doubled(x, of_map, first.bias)
        if skip is not None:
            x += convolve(skip.to(x.dtype), of_skip, padding=first.padding)
        return run(others, x)

    def plain(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """What `forward` computes, of the maps put together: to compare with."""
        x = double(x)
        if skip is not None:
            x = torch.cat([x, skip.to(x.dtype)], dim=1)
        return super().forward(x)


def stage(
    ndim: int,
    inputs: int,
    outputs: int,
    *,
    dropout: bool,
    norm: bool = False,
    down: bool = False,
    joins: bool = False,
) -> nn.Sequential:
    """[norm] - conv - LeakyReLU - conv - LeakyReLU - [dropout].

    The first convolution halves the size if `down`, and joins maps if `joins`.
    """
    layers: list[nn.Module] = [Norm(ndim, inputs)] if norm else []
    layers += [
        convolution(ndim, inputs, outputs, kernel=4 if down else 3, stride=2 if down else 1),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        convolution(ndim, outputs, outputs, kernel=3),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
    ]
    if dropout:
        layers.append({2: nn.Dropout2d, 3: nn.Dropout3d}[ndim](0.5))
    return Joining(*layers) if joins else Chain(*layers)


class Head(Joining):
    """Three convolutions at full resolution: two of the input's width, one to the outputs.

    Args:
        ndim: 2 or 3 spatial axes.
        inputs: Channels of the input.
        outputs: Channels of the output.
        last_kernel: Edge of the last convolution's kernel.
    """

    def __init__(self, ndim: int, inputs: int, outputs: int, last_kernel: int) -> None:
        super().__init__(
            convolution(ndim, inputs, inputs, kernel=3),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            convolution(ndim, inputs, inputs, kernel=3),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            convolution(ndim, inputs, outputs, kernel=last_kernel),
        )


class HalfHead(Chain):
    """A head for a map that is not doubled and joins no other one; arguments as of `Head`."""

    def __init__(self, ndim: int, inputs: int, outputs: int, last_kernel: int) -> None:
        super().__init__(*Head(ndim, inputs, outputs, last_kernel))


class Encoder(nn.ModuleList):
    """Stages that each halve the size.

    Args:
        ndim: 2 or 3 spatial axes.
        inputs: Channels of the input.
        channels: Width of each stage, finest first.
        norm: Batch normalization at the start of each stage.
        dropout: Drops whole channels with probability 0.5 at the end of each stage.

    Attributes:
        stride: What the input's spatial axes must be multiples of.
    """

    def __init__(
        self, ndim: int, inputs: int, channels: Sequence[int], norm: bool, dropout: bool
    ) -> None:
        check_channels(channels)
        for name, value in (("norm", norm), ("dropout", dropout)):
            if not isinstance(value, bool):
                raise ConfigError(f"{name}={quoted(value)}: must be true or false.")
        super().__init__(
            stage(ndim, before, after, dropout=dropout, norm=norm, down=True)
            for before, after in zip([inputs, *channels], channels, strict=False)
        )
        self.stride = 2 ** len(channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Outputs of the stages, finest first; (B, C_l, *S / 2^l)."""
        outputs = []
        for layer in self:
            x = layer(x)
            outputs.append(x)
        return outputs


class UNet(nn.Module):
    """Encoder and decoder of mirrored widths.

    Each encoder stage halves the size, each decoder stage doubles it by linear upsampling. With
    skips, the stage's encoder counterpart is concatenated after upsampling, the last being the
    input itself. Normalization sits in the encoder only, as in the published code.

    Args:
        ndim: 2 or 3 spatial axes.
        inputs: Channels of the input.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization at the start of each encoder stage.
        dropout: Drops whole channels with probability 0.5 at the end of each stage.
        skips: Whether encoder stages are concatenated in the decoder.

    Attributes:
        outputs: Channels of the output.
        stride: What the input's spatial axes must be multiples of.
        channels_last: Whether the weights are in that layout; the input is brought into it.
    """

    def __init__(
        self,
        ndim: int,
        inputs: int,
        channels: Sequence[int],
        norm: bool,
        dropout: bool,
        skips: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(ndim, inputs, channels, norm, dropout)
        widths = [inputs, *channels]
        self.skips = skips
        self.stride = self.encoder.stride
        self.channels_last = False
        self.decoder = nn.ModuleList()
        current = widths[-1]
        for width, skip in zip(reversed(channels), reversed(widths[:-1]), strict=True):
            joins = len(self.decoder) > 0
            self.decoder.append(stage(ndim, current, width, dropout=dropout, joins=joins))
            current = width + skip if skips else width
        self.outputs = current

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What `forward` doubles and concatenates: features, and the input if there are skips."""
        x = pad_to_multiple(x, self.stride)
        if self.channels_last:
            x = x.contiguous(memory_format=CHANNELS_LAST[x.ndim])
        stages = self.encoder(x)
        skips = [x, *stages[:-1]] if self.skips else [None] * len(stages)
        first, *others = self.decoder
        features = first(stages[-1])
        for layer in others:
            features = layer(features, skips.pop())
        return features, skips.pop()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *S) of any size to (B, outputs, *S padded to a multiple of the stride)."""
        features, skip = self.halves(x)
        features = double(features)
        return features if skip is None else torch.cat([features, skip.to(features.dtype)], dim=1)


class FullResolution(nn.Module):
    """A U-Net and a head, from an image of any size to a map of the same size.

    Attributes:
        recomputes: Whether the head runs slab by slab and once more for the gradients, which keeps
            none of its maps.
    """

    def __init__(self, backbone: UNet, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.recomputes = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *S) to (B, head's outputs, *S)."""
        features, skip = self.backbone.halves(x)
        head = self._head_by_slabs if self.recomputes else self.head
        return crop_to(head(features, skip), x.shape[2:])

    def _head_by_slabs(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """The same as the head: a slab's neighbourhood holds all that its voxels depend on."""
        size = features.shape[2]
        thickness = -(-size // SLABS)
        slabs = []
        for first in range(0, size, thickness):
            end = min(first + thickness, size)
            low, high = max(first - REACH, 0), min(end + REACH, size)
            beside = None if skip is None else skip[:, :, 2 * low : 2 * high]
            slab = checkpoint(
                self.head,
                features[:, :, low:high],
                beside,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            slabs.append(slab[:, :, 2 * (first - low) : 2 * (end - low)])
        return torch.cat(slabs, dim=2)


class HalfResolution(nn.Module):
    """A U-Net whose last map is not doubled, and a head of which the output is, in a line.

    What the head gives lies between the voxels that it stands for, so that doubling it keeps its
    place. Nothing but the output is as large as the image.
    """

    def __init__(self, backbone: UNet, head: HalfHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *S) to (B, head's outputs, *S) float32."""
        features, _ = self.backbone.halves(x)
        return crop_to(double(self.head(features).float()), x.shape[2:])


def recompute(network: nn.Module) -> None:
    """Lets a network keep fewer maps for its gradients, or says in a line that it cannot."""
    able = [layer for layer in network.modules() if isinstance(layer, FullResolution)]
    for layer in able:
        layer.recomputes = True
    if not able:
        name = type(network).__name__
        print(f"trainer.recompute: {name} has no head at full resolution, continuing without")


def check_channels(channels: Sequence[int], option: str = "model.channels") -> None:
    """Raises ConfigError unless the widths are a non-empty list of whole numbers above 0."""
    if not isinstance(channels, Sequence) or isinstance(channels, str):
        raise ConfigError(f"{option}={quoted(channels)}: must be a list of whole numbers above 0.")
    counts = [c for c in channels if isinstance(c, int) and not isinstance(c, bool) and c > 0]
    if not channels or len(counts) != len(channels):
        raise ConfigError(
            f"{option}={quoted(channels)}: must be a list of whole numbers above 0, one per stage, "
            "such as [16,32,64]."
        )
