"""Contrastive encoder: features without labels, from comparing views of one image (DeepSim_csr)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.overrides import quoted
from bench.data.batches.augmentation import Augmentation, RandomAffine, RandomIntensity
from bench.errors import ConfigError
from bench.extractors.surrogate import EncoderFeatures
from bench.models.unet import Encoder
from bench.spatial.displacement import warp
from bench.spatial.resolution import coarsen, warp_level

VIEWS: dict[str, Any] = {
    "affine": {"rotation": 15, "scale": (0.8, 1.25), "shear": 0.1, "translation": 4},
    "intensity": {"noise": 0.1, "gain": 0.5, "bias": 0.6},
    "crop": 0.3,
}


class Contrastive(EncoderFeatures):
    """An encoder whose features agree where two views of an image show the same place.

    Each image is seen twice: as it is, and under a random affine map; either with random changes
    of intensity, and cropped at random, since where an image was cut off must not tell its places
    apart. At each level places are drawn, first of the foreground that both views show, and where
    a coarse level has too few of these, of the rest, padding too. The features of both views at a
    place attract, those of other places repel: InfoNCE over all places of the batch, on
    projections that only serve training. Source: Li et al., arXiv:2212.01577, for
    contrastive features as a metric; van den Oord et al., arXiv:1807.03748, for InfoNCE; dense
    contrast after Wang et al., CVPR 2021.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the image.
        classes: Not used; surrogate networks are all built alike.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        projection: Width of the projections.
        places: Places drawn per image and level.
        temperature: Of InfoNCE.
        views: Ranges of `affine` and `intensity`, see `bench.data.batches.augmentation`;
            and `crop`, the largest share that is cut off at each side of the foreground.
    """

    task = "contrastive"
    needs_labels = False

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        classes: int,
        channels: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        dropout: bool = True,
        projection: int = 64,
        places: int = 256,
        temperature: float = 0.1,
        views: Mapping[str, Mapping[str, Any]] = VIEWS,
    ) -> None:
        super().__init__(ndim, image_channels, channels)
        for name, value, least in (("places", places, 2), ("projection", projection, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"metric.extractor.{name}={quoted(value)}: must be a whole number of at least "
                    f"{least}."
                )
        if not temperature > 0:
            raise ConfigError(
                f"metric.extractor.temperature={quoted(temperature)}: must be above 0."
            )
        self.places = places
        self.temperature = temperature
        self.affine, self.intensity, self.crop = _ranges(views)
        self.stages = Encoder(ndim, image_channels, channels, norm, dropout)
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, projection), nn.ReLU(), nn.Linear(projection, projection)
            )
            for width in channels
        )

    @property
    def encoder(self) -> Encoder:
        """The stages."""
        return self.stages

    def forward(self, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Unit projections (places, projection) of both views, for each level.

        Views and places are drawn by torch's random numbers in training, and are always the same
        in evaluation.
        """
        kinds = 6  # what is drawn independently: the map, two boxes, two intensities, places
        if self.training:
            seeds = torch.randint(2**62, (kinds, len(image))).tolist()
        else:
            seeds = [list(range(i, kinds * len(image), kinds)) for i in range(kinds)]
        u = self.affine.displacement(image.shape[2:], seeds[0], image.device)
        moved = warp(image, u)
        shown = [
            _random_box(x, self.crop, drawn)
            for x, drawn in zip((image, moved), seeds[1:3], strict=True)
        ]
        first, second = (
            self.features(torch.where(box > 0, self.intensity(x, drawn), _least(x)))
            for x, box, drawn in zip((image, moved), shown, seeds[3:5], strict=True)
        )
        common = _inside(u) * (moved > _least(moved)).any(dim=1, keepdim=True)
        common = common * shown[1] * warp(shown[0], u, mode="nearest")
        found = []
        for a, b, factor, project in zip(
            first, second, self.factors, self.projections, strict=True
        ):
            chosen = self._draw(coarsen(common, factor, b.shape[2:]), seeds[5])
            pair = []
            for features in (warp_level(a.float(), u, factor), b.float()):
                flat = features.flatten(2)
                at = flat.gather(2, chosen[:, None].expand(-1, flat.shape[1], -1))
                projected = project(at.transpose(1, 2).flatten(0, 1))
                pair.append(F.normalize(projected.float(), dim=1))
            found.append((pair[0], pair[1]))
        return found

    def loss(
        self, output: list[tuple[Tensor, Tensor]], image: Tensor, segmentation: Tensor | None
    ) -> Tensor:
        """InfoNCE in both directions, averaged over the levels."""
        losses = []
        for first, second in output:
            logits = first @ second.T / self.temperature
            same = torch.arange(len(logits), device=logits.device)
            losses.append((F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2)
        return torch.stack(losses).mean()

    def score(
        self, output: list[tuple[Tensor, Tensor]], image: Tensor, segmentation: Tensor | None
    ) -> dict[str, float]:
        """`matched`: share of places whose most similar place in the other view is the same one."""
        hits = []
        for first, second in output:
            nearest = (first @ second.T).argmax(dim=1)
            same = torch.arange(len(nearest), device=nearest.device)
            hits.append((nearest == same).float().mean())
        return {"matched": float(torch.stack(hits).mean())}

    def _draw(self, common: Tensor, seeds: Sequence[int]) -> Tensor:
        """Random places of a level, (B, places), where `common` is above 0 before others."""
        random = torch.stack(
            [torch.rand(common[0].numel(), generator=_random(seed)) for seed in seeds]
        )
        score = random.to(common.device) + common.flatten(1).gt(0)
        return score.topk(min(self.places, score.shape[1]), dim=1).indices


def _ranges(views: Mapping[str, Any] | None) -> tuple[RandomAffine, RandomIntensity, float]:
    """The ranges of a section `views`.

    Raises:
        ConfigError: If it has other keys, or values out of range.
    """
    option = "metric.extractor.views"
    views = views or {}
    unknown = sorted(set(views) - {"affine", "intensity", "crop"})
    if unknown:
        raise ConfigError(f"Unknown {option}.{unknown[0]}. Known: affine, intensity, crop.")
    crop = views.get("crop") or 0
    if not isinstance(crop, int | float) or not 0 <= crop < 0.5:
        raise ConfigError(f"{option}.crop={quoted(crop)}: must be at least 0 and below 0.5.")
    try:
        augmentation = Augmentation.from_config(
            {**(views.get("affine") or {}), "intensity": views.get("intensity")}
        )
    except ConfigError as error:
        text = str(error).replace("dataset.augmentation.intensity", f"{option}.intensity")
        raise ConfigError(text.replace("dataset.augmentation", f"{option}.affine")) from error
    return augmentation.affine, augmentation.intensity, float(crop)


def _inside(u: Tensor) -> Tensor:
    """Where p + u(p) lies in the image; (B, 1, *S)."""
    inside = torch.ones_like(u[:, :1], dtype=torch.bool)
    for axis, size in enumerate(u.shape[2:]):
        line = torch.arange(size, device=u.device).view(
            [-1 if i == axis else 1 for i in range(u.ndim - 2)]
        )
        point = u[:, axis : axis + 1] + line
        inside &= (point >= 0) & (point <= size - 1)
    return inside


def _least(image: Tensor) -> Tensor:
    """The least intensity of each image and channel, which padding has; (B, C, 1, ...)."""
    return image.flatten(2).amin(2).view(*image.shape[:2], *[1] * (image.ndim - 2))


def _random_box(image: Tensor, crop: float, seeds: Sequence[int]) -> Tensor:
    """1 within a random part of the foreground's bounding box, and 0 elsewhere; (B, 1, *S)."""
    box = torch.ones_like(image[:, :1])
    if crop == 0:
        return box
    foreground = (image > _least(image)).any(dim=1)
    axes = range(1, foreground.ndim)
    drawn = torch.stack([torch.rand(len(axes), 2, generator=_random(seed)) for seed in seeds])
    cuts = (crop * drawn).to(image.device)
    for axis in axes:
        size = foreground.shape[axis]
        line = foreground.any(dim=[other for other in axes if other != axis]).int()
        low, high = line.argmax(1), size - line.flip(1).argmax(1)
        cut = (cuts[:, axis - 1] * (high - low)[:, None]).round()
        place = torch.arange(size, device=image.device)
        inside = (place >= (low + cut[:, 0])[:, None]) & (place < (high - cut[:, 1])[:, None])
        box *= inside.view(len(image), 1, *(size if other == axis else 1 for other in axes))
    return box


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
