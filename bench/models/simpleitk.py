"""Affine registration and demons of SimpleITK.

SimpleITK's points are (x, y, z), and an array's axes are (z, y, x) to it, so the components of a
displacement turn round between the two. Grids have spacing 1: its millimetres are voxels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from bench.errors import DataError
from bench.models.checks import is_count, is_list, is_number, require
from bench.models.method import Method, Objective, reason_against, reason_against_objective
from bench.pair import Pair
from bench.spatial import affine_origins, compose, warp

SMALLEST_AXIS = 8  # voxels that shrinking leaves of an axis
FORCES: dict[str, Any] = {
    "symmetric": sitk.FastSymmetricForcesDemonsRegistrationFilter,
    "diffeomorphic": sitk.DiffeomorphicDemonsRegistrationFilter,
}


class Affine:
    """Affine transform of the greatest mutual information (Mattes), from coarse to fine.

    Regular step gradient descent in one thread, on samples drawn with a fixed seed: the result is
    the same each time. Several channels count by their mean. Source: Mattes et al., SPIE 2001.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        shrink: Factor by which images are shrunk, for each level; a level at which the shortest
            axis would have fewer than 8 voxels is left out unless it is the last.
        steps: The most steps at each level.
        bins: Bins of the joint histogram.
        sampling: Share of the voxels that are looked at, in (0, 1].
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        shrink: Sequence[int] = (4, 2, 1),
        steps: int = 200,
        bins: int = 32,
        sampling: float = 1.0,
    ) -> None:
        require("steps", steps, is_count(steps), "a whole number of at least 1")
        require("bins", bins, is_count(bins, 5), "a whole number of at least 5")
        share = is_number(sampling) and 0 < sampling <= 1
        require("sampling", sampling, share, "above 0 and at most 1")
        self.ndim = ndim
        self.shrink = _factors(shrink)
        self.steps = steps
        self.bins = bins
        self.sampling = sampling

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels.

        Raises:
            DataError: If SimpleITK cannot register a pair, such as one of constant images.
        """
        return _each(pair, self._register_one)

    def _register_one(self, fixed: sitk.Image, moving: sitk.Image) -> sitk.Image:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(self.bins)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(self.sampling, seed=1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=1, minStep=1e-4, numberOfIterations=self.steps
        )
        method.SetOptimizerScalesFromPhysicalShift()
        shortest = min(fixed.GetSize())
        levels = [by for by in self.shrink[:-1] if shortest // by >= SMALLEST_AXIS]
        levels.append(self.shrink[-1])
        method.SetShrinkFactorsPerLevel(levels)
        method.SetSmoothingSigmasPerLevel([by / 2 if by > 1 else 0 for by in levels])
        start = sitk.CenteredTransformInitializer(
            fixed,
            moving,
            sitk.AffineTransform(self.ndim),
            sitk.CenteredTransformInitializerFilter.GEOMETRY,
        )
        method.SetInitialTransform(start, inPlace=False)
        before = method.MetricEvaluate(fixed, moving)
        transform = method.Execute(fixed, moving)
        if method.GetMetricValue() > before:  # the negative mutual information: it went astray
            transform = start
        return sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, fixed.GetSize())


class AffineFirst:
    """Registers affinely, then by another method what is left.

    Args:
        method: What registers the affinely warped images; its D + λR is of what it adds.
        affine: The affine registration.
    """

    def __init__(self, method: Method, affine: Affine) -> None:
        self.method = method
        self.affine = affine
        self.batch = getattr(method, "batch", 1)

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels, of both together."""
        first = self.affine.register(pair, objective)

        def segmentations() -> tuple[Tensor, Tensor]:
            moving, fixed = pair.segmentations
            return warp(moving, first, "nearest"), fixed

        def landmarks() -> tuple[Tensor, Tensor]:
            moving, fixed = pair.landmarks
            return affine_origins(first, moving), fixed

        aligned = Pair(
            warp(pair.moving, first),
            pair.fixed,
            segmentations=segmentations if pair.has_labels else None,
            classes=pair.classes,
            ids=pair.ids,
            landmarks=landmarks if pair.has_landmarks else None,
        )
        # aligned(q) = moving(q + first(q)) at q = p + u(p): points pass through u before `first`
        return compose(self.method.register(aligned, objective), first)

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        """Why the other method cannot work on such images; None if it can or does not say."""
        return reason_against(self.method, ndim, channels, labels)

    def accepts(self, objective: Objective) -> str | None:
        """Why the other method cannot work by an objective; None if it can or does not say."""
        return reason_against_objective(self.method, objective)


class Demons:
    """Demons with symmetric forces, from coarse to fine.

    The moving image's histogram is matched to the fixed one's first. Several channels count by
    their mean. Source: Vercauteren et al., NeuroImage 2009.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        forces: `symmetric` adds updates; `diffeomorphic` composes their exponentials.
        shrink: Factor by which images are shrunk, for each level; less along axes that it would
            leave with fewer than 8 voxels.
        steps: Steps at each level.
        smoothing: Standard deviation in voxels of a level of the Gaussian that smooths the
            displacement after each step.
        match: Whether histograms are matched.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        forces: str = "diffeomorphic",
        shrink: Sequence[int] = (4, 2, 1),
        steps: int = 50,
        smoothing: float = 1.5,
        match: bool = True,
    ) -> None:
        known = isinstance(forces, str) and forces in FORCES
        require("forces", forces, known, f"one of {', '.join(FORCES)}")
        require("steps", steps, is_count(steps), "a whole number of at least 1")
        smooth = is_number(smoothing) and smoothing > 0
        require("smoothing", smoothing, smooth, "a number above 0")
        require("match", match, isinstance(match, bool), "true or false")
        self.forces = forces
        self.shrink = _factors(shrink)
        self.steps = steps
        self.smoothing = smoothing
        self.match = match

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels."""
        return _each(pair, self._register_one)

    def _register_one(self, fixed: sitk.Image, moving: sitk.Image) -> sitk.Image:
        if self.match:
            moving = sitk.HistogramMatching(moving, fixed, 256, 7)
        demons = FORCES[self.forces]()
        demons.SetNumberOfIterations(self.steps)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(self.smoothing)
        u = None
        for factor in self.shrink:
            by = [max(1, min(factor, size // SMALLEST_AXIS)) for size in fixed.GetSize()]
            coarse_fixed, coarse_moving = _shrunk(fixed, by), _shrunk(moving, by)
            if u is None:
                u = demons.Execute(coarse_fixed, coarse_moving)
            else:
                u = demons.Execute(coarse_fixed, coarse_moving, _resampled(u, coarse_fixed))
        assert u is not None
        return _resampled(u, fixed)


def _factors(shrink: Sequence[int]) -> list[int]:
    whole = is_list(shrink) and all(is_count(by) for by in shrink)
    require("shrink", shrink, whole, "a list of whole numbers from 1, such as [4,2,1]")
    return list(shrink)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within it SimpleITK uses one thread: the sums of several differ in rounding, each time."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _each(pair: Pair, register: Any) -> Tensor:
    """Displacements (B, D, *S) of a function of SimpleITK's images, one pair after the other."""
    moving, fixed = (_as_arrays(images) for images in (pair.moving, pair.fixed))
    fields = []
    for index in range(len(fixed)):
        try:
            with _one_thread():
                field = register(*(sitk.GetImageFromArray(x[index]) for x in (fixed, moving)))
        except RuntimeError as error:
            name = " and ".join(pair.ids[index]) if pair.ids else f"pair {index} of a batch"
            reason = str(error).strip().splitlines()[-1]
            raise DataError(
                f"{name}: SimpleITK cannot register these images ({reason}). See with `python -m "
                "bench data` whether one of them is constant, or leave the pair out."
            ) from error
        fields.append(np.moveaxis(sitk.GetArrayFromImage(field)[..., ::-1], -1, 0))
    return torch.from_numpy(np.stack(fields).astype(np.float32)).to(pair.fixed.device)


def _as_arrays(images: Tensor) -> np.ndarray:
    """Means over channels, (B, *S) float32."""
    return images.detach().float().mean(dim=1).cpu().numpy()


def _shrunk(image: sitk.Image, by: list[int]) -> sitk.Image:
    """A smaller image at the same place; smoothed before, so that nothing aliases."""
    if max(by) == 1:
        return image
    smooth = sitk.SmoothingRecursiveGaussian(image, [max(factor / 2, 0.01) for factor in by])
    return sitk.Shrink(smooth, by)


def _resampled(u: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """A displacement on another grid; its border's values go on outside."""
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(grid)
    resample.SetUseNearestNeighborExtrapolator(True)
    return resample.Execute(u)
