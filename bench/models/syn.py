"""SyN of ANTs, with intensities or with the features of a metric."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.groups import installing
from bench.config.numbers import is_count, is_number
from bench.errors import ConfigError, DataError
from bench.models.checks import is_list, require
from bench.models.method import Objective
from bench.pair import Pair
from bench.spatial.resolution import crop_to

LINEAR = {2: "bilinear", 3: "trilinear"}


class SyN:
    """Symmetric normalization without an affine stage (ANTs' `SyNOnly`).

    Of intensities, as published: mutual information (Mattes) in 32 bins, of the first channel,
    with that of each further channel beside it. ANTs' axes are those of the array and its grids
    have spacing 1, so its displacements are u. Nothing is drawn by chance, but the sums of another
    number of threads (`ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS`) differ in rounding.
    Source: Avants et al., MedIA 2008.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        steps: Steps at each level, from coarse to fine; each is half as coarse as the one before.
        gradient_step: ANTs' gradient step.
        flow_sigma: Of the Gaussian that smooths updates, in voxels.
        total_sigma: Of the Gaussian that smooths the whole displacement, in voxels.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        steps: Sequence[int] = (40, 20, 0),
        gradient_step: float = 0.2,
        flow_sigma: float = 3,
        total_sigma: float = 0,
    ) -> None:
        try:
            import ants
        except ImportError as error:
            raise ConfigError(
                f"model=syn needs the package antspyx, which cannot be imported ({error}). To "
                f"install it, run `{installing('ants')}`."
            ) from error
        counts = is_list(steps) and all(is_count(step, 0) for step in steps)
        require("steps", steps, counts, "a list of whole numbers, such as [40,20,0]")
        positive = is_number(gradient_step) and gradient_step > 0
        require("gradient_step", gradient_step, positive, "a number above 0")
        for name, sigma in (("flow_sigma", flow_sigma), ("total_sigma", total_sigma)):
            require(name, sigma, is_number(sigma) and sigma >= 0, "a number of at least 0")
        self.ants: Any = ants
        self.ndim = ndim
        self.settings = {
            "reg_iterations": tuple(steps),
            "grad_step": gradient_step,
            "flow_sigma": flow_sigma,
            "total_sigma": total_sigma,
        }

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels.

        Raises:
            DataError: If ANTs cannot register a pair.
        """
        fields = []
        for index in range(len(pair.fixed)):
            one = pair.one(index)
            maps = self.maps(one, objective)
            try:
                fields.append(self._field(maps))
            except RuntimeError as error:
                name = " and ".join(one.ids[0]) if one.ids else f"pair {index} of a batch"
                raise DataError(
                    f"{name}: ANTs cannot register these images ({error}). Check whether one of "
                    "them is constant, or leave the pair out."
                ) from error
        return torch.from_numpy(np.stack(fields)).to(pair.fixed.device)

    def maps(self, pair: Pair, objective: Objective) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """What is compared: the name of ANTs' metric, and a map (*S) of moving and of fixed."""
        return [("mattes", *both) for both in zip(*_channels(pair), strict=True)]

    def _field(self, maps: list[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray:
        """Displacement (D, *S) float32 of one pair."""
        images = [(name, *map(self.ants.from_numpy, both)) for name, *both in maps]
        (metric, moving, fixed), *further = images
        extras = [
            (name, other_fixed, other_moving, 1, 32 if name == "mattes" else 0)
            for name, other_moving, other_fixed in further
        ]
        with tempfile.TemporaryDirectory() as folder:
            result = self.ants.registration(
                fixed,
                moving,
                type_of_transform="SyNOnly",
                initial_transform="Identity",
                outprefix=f"{folder}/",
                syn_metric=metric,
                syn_sampling=32 if metric == "mattes" else 0,
                multivariate_extras=extras or None,
                **self.settings,
            )
            [path] = [path for path in result["fwdtransforms"] if path.endswith("Warp.nii.gz")]
            vectors = self.ants.image_read(path).numpy()
        return np.ascontiguousarray(np.moveaxis(vectors, -1, 0), dtype=np.float32)


class FeatureSyN(SyN):
    """SyN on the features of the metric's extractor, one mean-squares metric for each map.

    The levels that the metric looks at are brought to the image's grid by linear interpolation,
    and their channels reduced to the principal components of both images together, which are all
    divided by the standard deviation of the first. With `components: null` each channel is a map,
    divided by its norm over the image. Source: Czolbe et al., MIA 2023, who take every channel.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        components: How many principal components; None takes every channel.
        intensity: Whether mutual information of the intensities stands beside.
        settings: As of `SyN`.
    """

    needs = ("metric",)

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        components: int | None = 8,
        intensity: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(ndim, image_channels, **settings)
        known = components is None or is_count(components)
        require("components", components, known, "a number from 1, or null for all channels")
        require("intensity", intensity, isinstance(intensity, bool), "true or false")
        self.components = components
        self.intensity = intensity

    def accepts(self, objective: Objective) -> str | None:
        """Why it cannot register by an objective; None if it can."""
        if not hasattr(objective.similarity, "extractor"):
            return "model=syn_features needs a metric of features, such as deepsim_seg"
        return None

    def maps(self, pair: Pair, objective: Objective) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Maps of intensities if they count, and then of features."""
        extractor = objective.similarity.extractor
        used = getattr(objective.similarity, "levels", range(extractor.levels))
        factors = [extractor.factors[level] for level in used]
        sides = []
        for image in (pair.moving, pair.fixed):
            with torch.no_grad():
                features = extractor(image)
            levels = [features[level] for level in used]
            sides.append(at_full_size(levels, factors, image.shape[2:])[0])
        if self.components is None:
            sides = [side / _lengths(side) for side in sides]
        else:
            sides = principal_components(sides[0], sides[1], self.components)
        maps = zip(*(side.float().cpu().numpy() for side in sides), strict=True)
        intensities = super().maps(pair, objective) if self.intensity else []
        return [*intensities, *(("meansquares", *both) for both in maps)]


def at_full_size(levels: Sequence[Tensor], factors: Sequence[int], shape: torch.Size) -> Tensor:
    """All levels of a feature pyramid on the image's grid, by linear interpolation.

    Args:
        levels: (B, C_l, *S_l), S_l being S / factor, rounded up or down.
        factors: How much coarser than the image each level is.
        shape: S.

    Returns:
        (B, sum of C_l, *S) float32.
    """
    maps = []
    for level, factor in zip(levels, factors, strict=True):
        level = level.float()
        if factor > 1:
            level = F.interpolate(level, scale_factor=float(factor), mode=LINEAR[len(shape)])
        widths = [
            width
            for size, there in zip(shape[::-1], level.shape[:1:-1], strict=True)
            for width in (0, max(size - there, 0))
        ]
        maps.append(crop_to(F.pad(level, widths, mode="replicate"), shape))
    return torch.cat(maps, dim=1)


def principal_components(moving: Tensor, fixed: Tensor, count: int) -> list[Tensor]:
    """Principal components of the vectors of two maps, fitted on both.

    Args:
        moving: (C, *S).
        fixed: (C, *S).
        count: How many; all if there are fewer.

    Returns:
        (count, *S) of both, with the mean of both together taken off, over the standard deviation
        of the first component.
    """
    both = torch.cat([moving.flatten(1), fixed.flatten(1)], dim=1).double()
    both -= both.mean(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh(both @ both.T / both.shape[1])  # ascending
    axes = vectors.flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    axes = axes * largest.sign()  # eigenvectors have no sign of themselves
    scores = axes.T @ both / values[-1].clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    return [side.reshape(-1, *moving.shape[1:]) for side in scores.chunk(2, dim=1)]


def _lengths(side: Tensor) -> Tensor:
    """Norm of each channel of (C, *S) over the image; 1 where it is zero."""
    lengths = side.flatten(1).norm(dim=1)
    return lengths.where(lengths > 0, 1).view(-1, *[1] * (side.ndim - 1))


def _channels(pair: Pair) -> list[np.ndarray]:
    """(C, *S) float32 of the moving and the fixed image of one pair."""
    return [image[0].detach().float().cpu().numpy() for image in (pair.moving, pair.fixed)]
