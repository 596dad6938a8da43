"""Layout of weights and maps in memory."""

import torch
from torch import nn

from bench.models.unet import UNet


def to_channels_last(network: nn.Module) -> None:
    """Puts a network's weights into the layout that convolutions are fastest in, in place.

    Maps follow the weights. U-Nets are marked: their input is concatenated again at the end, and
    maps of two layouts together would make a third.
    """
    modules = list(network.modules())
    three = any(isinstance(layer, nn.Conv3d) for layer in modules)
    layout = torch.channels_last_3d if three else torch.channels_last
    for parameter in network.parameters():
        if parameter.ndim == (5 if three else 4):
            parameter.data = parameter.data.contiguous(memory_format=layout)
    for layer in modules:
        if isinstance(layer, UNet):
            layer.channels_last = True
