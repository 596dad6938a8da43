"""Affine registration and demons of SimpleITK.

SimpleITK's points are (x, y, z), and an array's axes are (z, y, x) to it, so the components of a
displacement turn round between the two. Grids have spacing 1: its millimetres are voxels.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from bench.config.numbers import is_count, is_number
from bench.errors import DataError
from bench.models.checks import is_list, require
from bench.models.method import Objective
from bench.pair import Pair

SMALLEST_AXIS = 8  # voxels that shrinking leaves of an axis
ENOUGH = 30_000  # voxels for the 6 or 12 numbers of an affine transform
APART = 20  # degrees between the starts of an affine registration; a descent corrects half of it
FORCES: dict[str, Any] = {
    "symmetric": sitk.FastSymmetricForcesDemonsRegistrationFilter,
    "diffeomorphic": sitk.DiffeomorphicDemonsRegistrationFilter,
}


class Affine:
    """Affine transform of the greatest mutual information (Mattes), from coarse to fine.

    Rotations about the centre, with the centres of both images or of what stands out from their
    border on each other, are compared on the coarsest images; the best ones descend as rigid
    transforms, and the best of those becomes affine and goes on to the finer images. So does the
    identity, since coarse images may mislead. The better one counts, if it is better than the
    identity. All voxels are looked at, in one thread: the
    result is the same each time. Several channels count by their mean. Source: Mattes et al.,
    SPIE 2001.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        shrink: Factor by which images are shrunk, for each level; less along axes that it would
            leave with fewer than 8 voxels. Levels with fewer voxels than the joint histogram has
            bins are left out, but for the last, and so are levels after one of 30 000 voxels.
        steps: The most steps of a descent.
        bins: Bins of the joint histogram.
        rotation: Largest rotation of the starts in degrees, about each axis.
        starts: How many of them descend.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        shrink: Sequence[int] = (16, 8, 4, 2, 1),
        steps: int = 100,
        bins: int = 32,
        rotation: float = 60,
        starts: int = 4,
    ) -> None:
        require("steps", steps, is_count(steps), "a whole number of at least 1")
        require("bins", bins, is_count(bins, 5), "a whole number of at least 5")
        turn = is_number(rotation) and 0 <= rotation <= 180
        require("rotation", rotation, turn, "a number of degrees from 0 to 180")
        require("starts", starts, is_count(starts), "a whole number of at least 1")
        self.ndim = ndim
        self.shrink = _factors(shrink)
        self.steps = steps
        self.bins = bins
        self.angles = _angles(rotation)
        self.starts = starts

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels.

        Raises:
            DataError: If SimpleITK cannot register a pair, such as one of constant images.
        """
        return _each(pair, self._register_one)

    def _register_one(self, fixed: sitk.Image, moving: sitk.Image) -> sitk.Image:
        levels = self._levels(fixed, moving)
        identity = self._affine(self._rigid(_middle(fixed)))
        before = self._value(*levels[-1], identity)  # of constant images there is none
        coarse = levels[0]
        starts = sorted(self._starts(*coarse), key=lambda start: self._value(*coarse, start))
        descended = [self._descend(*coarse, start) for start in starts[: self.starts]]
        best = self._affine(min(descended, key=lambda found: self._value(*coarse, found)))
        found = [self._refined(levels, start) for start in (best, identity)]
        value, transform = min(found, key=lambda one: one[0])
        if value > before:
            transform = identity
        return sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, fixed.GetSize())

    def _refined(
        self, levels: Sequence[tuple[sitk.Image, sitk.Image]], transform: sitk.Transform
    ) -> tuple[float, sitk.Transform]:
        """An affine transform after a descent at each level, and its value at the last one."""
        for level in levels:
            transform = self._descend(*level, transform)
        return self._value(*levels[-1], transform), transform

    def _levels(self, fixed: sitk.Image, moving: sitk.Image) -> list[tuple[sitk.Image, sitk.Image]]:
        """Fixed and moving image, from coarse to fine."""
        levels = []
        for factor in self.shrink:
            by = [max(1, min(factor, size // SMALLEST_AXIS)) for size in fixed.GetSize()]
            count = math.prod(size // part for size, part in zip(fixed.GetSize(), by, strict=True))
            if count < self.bins**2 and factor != self.shrink[-1]:
                continue
            levels.append((_shrunk(fixed, by), _shrunk(moving, by)))
            if count >= ENOUGH:
                break
        return levels

    def _starts(self, fixed: sitk.Image, moving: sitk.Image) -> Iterator[sitk.Transform]:
        """Rigid transforms: rotations about each axis, by two ways of bringing centres together."""
        axes = range(1 if self.ndim == 2 else 3)
        rotations = [[0.0] * len(axes)]
        rotations += [[angle * (i == axis) for i in axes] for axis in axes for angle in self.angles]
        for centre in (_middle, _centroid):
            there, here = centre(moving), centre(fixed)
            for rotation in rotations:
                start = self._rigid(here)
                shift = [m - f for m, f in zip(there, here, strict=True)]
                start.SetParameters((*rotation, *shift))
                yield start

    def _descend(
        self, fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform
    ) -> sitk.Transform:
        """The transform at the end of a descent; where it began, if it went astray."""
        method = self._method()
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=1,
            minStep=1e-4,
            numberOfIterations=self.steps,
            estimateLearningRate=method.EachIteration,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(start, inPlace=False)
        try:
            found = type(start)(method.Execute(fixed, moving).GetNthTransform(0))
            return min(start, found, key=lambda one: self._value(fixed, moving, one))
        except RuntimeError:  # the images no longer overlap
            return start

    def _value(self, fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
        """Negative mutual information."""
        method = self._method()
        method.SetInitialTransform(transform, inPlace=True)
        return method.MetricEvaluate(fixed, moving)

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(self.bins)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _rigid(self, centre: Sequence[float]) -> sitk.Transform:
        """The identity as a rigid transform about a point."""
        transform = sitk.Euler2DTransform() if self.ndim == 2 else sitk.Euler3DTransform()
        transform.SetCenter(centre)
        return transform

    def _affine(self, rigid: sitk.Transform) -> sitk.Transform:
        """The same as an affine transform."""
        transform = sitk.AffineTransform(self.ndim)
        transform.SetCenter(rigid.GetCenter())
        transform.SetMatrix(rigid.GetMatrix())
        transform.SetTranslation(rigid.GetTranslation())
        return transform


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


def _angles(rotation: float) -> list[float]:
    """Angles up to a largest one, without 0; radians."""
    count = int(rotation // APART)
    return [math.radians(APART * turn) for turn in range(-count, count + 1) if turn]


def _middle(image: sitk.Image) -> list[float]:
    """The centre of an image."""
    return list(
        image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    )


def _centroid(image: sitk.Image) -> list[float]:
    """The centre of what differs from the median of the border, weighted by how much it does."""
    values = sitk.GetArrayFromImage(image).astype(np.float64)
    border = np.ones(values.shape, bool)
    border[(slice(1, -1),) * values.ndim] = False
    weights = np.abs(values - np.median(values[border]))
    if not weights.any():
        return _middle(image)
    places = np.indices(values.shape).reshape(values.ndim, -1)
    index = places @ weights.ravel() / weights.sum()
    return list(image.TransformContinuousIndexToPhysicalPoint(index[::-1].tolist()))


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
                f"{name}: SimpleITK cannot register these images ({reason}). Check with `python -m "
                "bench data check` whether one of them is constant, or leave the pair out."
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
