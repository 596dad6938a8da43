"""VGG-16 trained on ImageNet, as a feature extractor for 2D images."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bench.extractors.pretrained import official_file, read_state_dict

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
DIGEST = "397923af"  # how the SHA-256 of the official file begins; part of its name
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Widths of the 3x3 convolutions up to relu3_3; "M" halves the size. Simonyan & Zisserman 2015.
LAYERS: tuple[int | str, ...] = (64, 64, "M", 128, 128, "M", 256, 256, 256)


class VGG16(nn.Module):
    """VGG-16 up to relu3_3; features are relu1_2, relu2_2 and relu3_3.

    Grey images in [0, 1] are repeated to three channels and normalized by ImageNet's mean and
    standard deviation, as the network was trained. Source: Simonyan & Zisserman, ICLR 2015;
    levels as in Czolbe et al., MIDL 2021.

    Args:
        ndim: 2 or 3; `supports` refuses 3.
        image_channels: 1 or 3.
        classes: Not used; extractor networks are all built alike.
        state_dict: File of the official state dict; None for the downloaded one.
    """

    mean: Tensor
    std: Tensor
    levels = 3
    factors = (1, 2, 4)

    def __init__(
        self,
        ndim: int = 2,
        image_channels: int = 1,
        classes: int = 0,
        state_dict: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.file = state_dict
        layers: list[nn.Module] = []
        inputs = 3
        for width in LAYERS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
        self.features_ = nn.ModuleList(layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def supports(ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""
        if ndim != 2:
            return f"VGG-16 is a 2D network, but the data set has {ndim}D images"
        if channels not in (1, 3):
            return f"VGG-16 reads grey or RGB images, but the data set has {channels} channels"
        return None

    def features(self, image: Tensor) -> list[Tensor]:
        """[(B, 64, *S), (B, 128, *S/2), (B, 256, *S/4)] from (B, 1 or 3, H, W) in [0, 1]."""
        x = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        outputs = []
        for layer in self.features_:
            if isinstance(layer, nn.MaxPool2d):
                outputs.append(x)
            x = layer(x)
        return [*outputs, x]

    def load(self, folder: Path) -> None:
        """Reads the file it was built with, or the official one, downloaded into the folder."""
        self.read(Path(self.file) if self.file else official_file(folder, URL, DIGEST, "VGG-16"))

    def read(self, path: Path) -> "VGG16":
        """Reads the official state dict (keys `features.N.weight` and `.bias`).

        Raises:
            ConfigError: If the file is not such a state dict.
        """
        wanted = {
            name.replace("features_.", "features."): parameter
            for name, parameter in self.named_parameters()
        }
        remedy = (
            f"Give the official VGG-16 state dict ({URL}), or metric.extractor.state_dict=null to "
            "download it."
        )
        for key, value in read_state_dict(path, wanted, "VGG-16", remedy).items():
            wanted[key].data.copy_(value)
        return self
