"""Deep similarity: cosine of the features of a frozen network."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.extractors.frozen import Extractor
from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.masks import check_mask, mask_shares, mask_supports, normalized
from bench.spatial.resolution import coarsen, warp_level

SMALLEST_SQUARED_NORM = 1e-6
CHUNK = 1 << 20  # feature values that are looked at at a time


class DeepSim(Similarity):
    """D = 1 - mean over levels of the mean cosine of features of warped and fixed image.

    Squared norms are clamped from below at 1e-6, so places without features count as cosine 0.
    Source: Czolbe et al., MIDL 2021 and MIA 2023; the options are the latter's ablations.

    The features of the fixed image are computed without gradient.

    Args:
        extractor: Frozen network that gives a feature pyramid.
        levels: Which of its levels are used, from 1 (finest).
        center: `features` subtracts from each feature vector its mean, which makes the cosine a
            correlation; `places` subtracts from each feature its mean over the image; None
            subtracts nothing.
        warp: `images` takes the features of the warped image; `features` warps the features of
            the moving image, at each level by the displacement's block means.
        mask: Where it looks, see `bench.similarity.masks`; at coarser levels by the share of each
            block that is inside.
    """

    def __init__(
        self,
        extractor: Extractor,
        levels: Sequence[int] = (1, 2, 3),
        center: str | None = None,
        warp: str = "images",
        mask: str | None = None,
    ) -> None:
        allowed = range(1, extractor.levels + 1)
        listed = isinstance(levels, Sequence) and not isinstance(levels, str)
        if not listed or not levels or any(level not in allowed for level in levels):
            raise ConfigError(
                f"metric.levels={quoted(levels)}: the extractor has levels {list(allowed)}; name "
                "one or more of them in a list, such as [1,2]."
            )
        if len(set(levels)) < len(levels):
            raise ConfigError(f"metric.levels={quoted(levels)}: name each level once.")
        if center not in (None, "features", "places"):
            raise ConfigError(f"metric.center={quoted(center)}: must be null, features or places.")
        if warp not in ("images", "features"):
            raise ConfigError(f"metric.warp={quoted(warp)}: must be images or features.")
        self.extractor = extractor
        self.levels = [level - 1 for level in levels]
        self.center = center
        self.warp = warp
        self.mask = check_mask(mask)

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return self.extractor.supports(ndim, channels) or mask_supports(self.mask, labels)

    def __call__(self, pair: Pair) -> Tensor:
        return self._distance(pair, self._moving_features(pair), self._fixed_features(pair))

    @torch.no_grad()
    def descriptors(self, image: Tensor) -> Tensor:
        """Features of the finest level in use, of length 1; (B, C, *S_l), no gradient."""
        finest = self.extractor(image)[min(self.levels)].float()
        return F.normalize(self._centred(finest) if self.center else finest, dim=1)

    def each(self, pair: Pair) -> Tensor:
        moving, fixed = self._moving_features(pair), self._fixed_features(pair)

        def one(index: int) -> Tensor:
            levels = [[level[index : index + 1] for level in side] for side in (moving, fixed)]
            return self._distance(pair.one(index), *levels)

        return torch.stack([one(index) for index in range(len(pair.fixed))])

    @torch.no_grad()
    def local(self, pair: Pair) -> Tensor:
        """1 - cosine at each place, of coarser levels interpolated linearly, mean over levels."""
        shape = pair.fixed.shape[2:]
        maps = []
        for ours, theirs in zip(
            self._moving_features(pair), self._fixed_features(pair), strict=True
        ):
            if self.center is not None:
                ours, theirs = self._centred(ours), self._centred(theirs)
            maps.append(1 - at_full_size(cosine(ours, theirs), shape))
        return torch.stack(maps).mean(0)[:, 0]

    def _distance(self, pair: Pair, moving: list[Tensor], fixed: list[Tensor]) -> Tensor:
        """D from the features of the levels in use."""
        shares = mask_shares(self.mask, pair)
        cosines = []
        for level, ours, theirs in zip(self.levels, moving, fixed, strict=True):
            level_shares = None
            if shares is not None:
                factor = self.extractor.factors[level]
                level_shares = normalized(coarsen(shares, factor, ours.shape[2:]))
            if self.center is not None:
                ours, theirs = self._centred(ours), self._centred(theirs)
            cosines.append(mean_cosine(ours, theirs, level_shares))
        whole = 1 if shares is None else shares.sum()
        return whole - torch.stack(cosines).mean()

    def _moving_features(self, pair: Pair) -> list[Tensor]:
        """Features of the moving image on the fixed one's grid, of the levels in use."""
        if self.warp == "images":
            features = self.extractor(pair.warped)
            return [features[level] for level in self.levels]
        features = pair.keep((self, "moving"), lambda: self._features(pair.moving))
        return [
            warp_level(level_features.float(), pair.u, self.extractor.factors[level])
            for level, level_features in zip(self.levels, features, strict=True)
        ]

    def _fixed_features(self, pair: Pair) -> list[Tensor]:
        """Features of the fixed image, of the levels in use."""
        return pair.keep((self, "fixed"), lambda: self._features(pair.fixed))

    @torch.no_grad()
    def _features(self, image: Tensor) -> list[Tensor]:
        features = self.extractor(image)
        return [features[level] for level in self.levels]

    def _centred(self, features: Tensor) -> Tensor:
        features = features.float()
        if self.center == "features":
            return features - features.mean(dim=1, keepdim=True)
        return features - features.mean(dim=list(range(2, features.ndim)), keepdim=True)


def mean_cosine(a: Tensor, b: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean over places of the cosine between the feature vectors of two maps.

    Args:
        a: (B, C, *S), of any floating type.
        b: (B, C, *S), or (1, C, *S) for all of the batch.
        shares: (B, 1, *S) of the places; None weighs all equally.

    Returns:
        Scalar, float32 or of the precision of the maps if that is higher. Differentiable in `a`,
        and in `b` if it has the same shape.
    """
    return _MeanCosine.apply(a, b, shares)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between the feature vectors (B, C, *S) of two maps at each place; (B, 1, *S)."""
    dtype = torch.promote_types(a.dtype, torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    norms = [x.square().sum(1, keepdim=True).clamp(min=SMALLEST_SQUARED_NORM) for x in (a, b)]
    return (a * b).sum(1, keepdim=True) * torch.rsqrt(norms[0] * norms[1])


def at_full_size(level: Tensor, shape: Sequence[int]) -> Tensor:
    """A map (B, C, *S_l) of a level interpolated linearly to the size of the image, (B, C, *S)."""
    if level.shape[2:] == torch.Size(shape):
        return level
    mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
    return F.interpolate(level, tuple(shape), mode=mode, align_corners=False)


def plain_mean_cosine(a: Tensor, b: Tensor, shares: Tensor | None = None) -> Tensor:
    """What `mean_cosine` computes, with whole maps kept in float32: to compare with."""
    values = cosine(a, b)
    return values.mean() if shares is None else (values * shares).sum()


class _MeanCosine(torch.autograd.Function):
    """One pass over the maps for the value, one for the gradients.

    Neither normalized maps nor copies in another precision exist as a whole; three numbers per
    place are kept.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, shares: Tensor | None) -> Tensor:
        dtype = torch.promote_types(a.dtype, torch.float32)
        places = a[:, 0].numel()
        factor = a.new_empty(a[:, 0].shape, dtype=dtype)
        of_a, of_b = torch.empty_like(factor), torch.empty_like(factor)
        total = a.new_zeros((), dtype=dtype)
        for part in _slabs(a):
            x, y = a[part].to(dtype), b[part].to(dtype)
            place = part[:1] + part[2:]
            dot = (x * y).sum(1)
            norms_a, norms_b = x.square().sum(1), y.square().sum(1)
            clamped_a = norms_a.clamp(min=SMALLEST_SQUARED_NORM)
            clamped_b = norms_b.clamp(min=SMALLEST_SQUARED_NORM)
            scale = torch.rsqrt(clamped_a * clamped_b)
            scale *= 1 / places if shares is None else shares[:, 0][place]
            cosine = dot * scale
            total += cosine.sum()
            factor[place] = scale
            of_a[place] = (cosine / clamped_a).where(norms_a > SMALLEST_SQUARED_NORM, 0)
            of_b[place] = (cosine / clamped_b).where(norms_b > SMALLEST_SQUARED_NORM, 0)
        ctx.save_for_backward(a, b, factor, of_a, of_b)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        a, b, factor, of_a, of_b = ctx.saved_tensors
        results: list[Tensor | None] = []
        for needed, ours, theirs, along in (
            (ctx.needs_input_grad[0], a, b, of_a),
            (ctx.needs_input_grad[1], b, a, of_b),
        ):
            if not needed:
                results.append(None)
                continue
            result = torch.empty_like(ours)
            for part in _slabs(a):
                place = part[:1] + part[2:]
                slab = theirs[part].to(factor.dtype) * factor[place][:, None]
                slab -= ours[part].to(factor.dtype) * along[place][:, None]
                result[part] = (slab * gradient).to(ours.dtype)
            results.append(result)
        return results[0], results[1], None


def _slabs(maps: Tensor) -> list[tuple[slice, ...]]:
    """Parts of (B, C, *S) maps along the first spatial axis, of about `CHUNK` values each."""
    size = maps.shape[2]
    thickness = max(1, CHUNK * size // max(maps.numel(), 1))
    return [
        (slice(None), slice(None), slice(start, start + thickness))
        for start in range(0, size, thickness)
    ]
