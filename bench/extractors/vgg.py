"""VGG-16 trained on ImageNet, as a feature extractor for 2D images."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.extractors.official import URL, official_weights

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
        weights: File of the official state dict; None for the downloaded one.
    """

    mean: Tensor
    std: Tensor
    levels = 3
    factors = (1, 2, 4)
    needs_labels = False

    def __init__(
        self,
        ndim: int = 2,
        image_channels: int = 1,
        classes: int = 0,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
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
            return f"VGG-16 is a 2D network and the data set has {ndim}D images"
        if channels not in (1, 3):
            return f"VGG-16 reads grey or RGB images and the data set has {channels} channels"
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
        """Reads the weights from `weights`, or the official ones, downloaded into the folder."""
        self.load_official(Path(self.weights) if self.weights else official_weights(folder))

    def load_official(self, path: Path) -> "VGG16":
        """Reads the official state dict (keys `features.N.weight` and `.bias`).

        Raises:
            ConfigError: If the file is not such a state dict.
        """
        wanted = {
            name.replace("features_.", "features."): parameter
            for name, parameter in self.named_parameters()
        }
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise ConfigError(
                f"metric.weights={path}: no such file. Give the official VGG-16 state dict "
                f"({URL}), or metric.weights=null to download it."
            ) from None
        except Exception as error:
            raise ConfigError(
                f"metric.weights={path}: not a readable PyTorch state dict ({_first_line(error)}). "
                f"Give the official VGG-16 file, {URL}."
            ) from error
        for name, parameter in wanted.items():
            found = state.get(name) if isinstance(state, dict) else None
            if not isinstance(found, Tensor) or found.shape != parameter.shape:
                shape = tuple(found.shape) if isinstance(found, Tensor) else "nothing"
                raise ConfigError(
                    f"metric.weights={path}: key {name!r} holds {shape}, VGG-16 needs "
                    f"{tuple(parameter.shape)}. Give the official state dict, {URL}."
                )
            parameter.data.copy_(found)
        return self


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
