"""The embedded demo: real anatomy, simulated deformation."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.config.numbers import is_count, is_number
from bench.config.overrides import quoted
from bench.data.landmarks.points import Landmarks
from bench.data.sources.source import Source
from bench.data.sources.subject import Sample, Subject
from bench.errors import ConfigError
from bench.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1  # counts up whenever the generated arrays change
LANDMARKS = 100  # points of a subject
CORRECTIONS = 5  # of an inverse that interpolation leaves inexact
BACKGROUND, CSF, GREY, WHITE = range(4)
T1 = "t1"
SHOWN = {"t2": (0.3, 1), "flair": (0.65, 4)}  # peak on T1's scale, exponent


@dataclass(kw_only=True)
class Demo(Source):
    """Subjects made from the MNI152 T1 template and tissue maps that nilearn bundles.

    Each subject is the template seen through a random smooth invertible deformation (an
    integrated velocity field of two scales), with a smooth bias field and Rician noise. In 2D
    it is one axial slice. The random parts depend on `seed` and the subject alone. Its landmarks
    are where the deformation puts points of the template that `seed` draws from the brain.

    Source of the template: Fonov et al., NeuroImage 2009 (ICBM 152 nonlinear 2009a).

    Attributes:
        resolution: Edge length of a voxel in whole mm.
        slice_mm: Height of the axial slice in MNI coordinates, for 2D.
        subjects_per_split: Number of subjects in train, val and test.
        deformation: Standard deviation of the velocity in mm, coarse and fine part.
        smoothness: Width of the Gaussian that smooths it, in mm, coarse and fine part.
        bias: Standard deviation of the log of the bias field.
        noise: Standard deviation of the noise, relative to the brightest tissue.
        contrast: Images of one person, a channel each: `t1`, `t2` (fluid brightest), `flair`
            (fluid dark, grey matter brightest), one or a list; each has its bias field and noise.
            None shows T1. `moving` and `fixed` choose among them by name.
        seed: Seed of all subjects; the run's seed does not change the data.
    """

    WITHOUT_NULL: ClassVar[frozenset[str]] = Source.WITHOUT_NULL | {"contrast"}

    intensity: Mapping[str, Any] = field(default_factory=lambda: {"policy": "keep"})
    resolution: int = 2
    slice_mm: float = 18.0
    subjects_per_split: Mapping[str, int] = field(
        default_factory=lambda: {"train": 40, "val": 10, "test": 20}
    )
    deformation: Sequence[float] = (6.0, 3.0)
    smoothness: Sequence[float] = (24.0, 10.0)
    bias: float = 0.15
    noise: float = 0.05
    contrast: str | Sequence[str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise", "bias"):
            value = getattr(self, name)
            if not (is_number(value) and value >= 0):
                raise ConfigError(
                    f"dataset.{name}={quoted(value)}: must be a finite number of at least 0."
                )
        counts = self.subjects_per_split
        if not isinstance(counts, Mapping) or not all(
            is_count(count, 0) for count in counts.values()
        ):
            raise ConfigError(
                f"dataset.subjects_per_split={quoted(counts)}: must be whole numbers of at least "
                "0, such as {train: 40, val: 10, test: 20}."
            )
        for name in ("deformation", "smoothness"):
            values = getattr(self, name)
            if (
                not isinstance(values, list | tuple)
                or len(values) != 2
                or not all(is_number(value) and value >= 0 for value in values)
            ):
                raise ConfigError(
                    f"dataset.{name}={quoted(values)}: must be two finite numbers of at least 0, "
                    "of the coarse and the fine part."
                )
        names, known = self.channel_names(), (T1, *SHOWN)
        if not names or any(name not in known for name in names) or len({*names}) < len(names):
            raise ConfigError(
                f"dataset.contrast={quoted(self.contrast)}: must be one of {', '.join(known)}, or "
                "a list of some of them, each once."
            )

    def channel_names(self) -> Sequence[str]:
        if self.contrast is None:
            return [T1]
        return self.contrast if isinstance(self.contrast, list | tuple) else [str(self.contrast)]

    def subjects(self) -> list[Subject]:
        return [
            Subject(f"{split}{i:03d}", split)
            for split, count in self.subjects_per_split.items()
            for i in range(count)
        ]

    def settings(self) -> dict[str, Any]:
        from importlib.metadata import version

        return super().settings() | {"version": VERSION, "nilearn": version("nilearn")}

    def fingerprint(self, subjects: Sequence[Subject]) -> str:
        digest = hashlib.sha256(repr(sorted(self.settings().items())).encode())
        for array in self._template:
            digest.update(array.tobytes())
        return digest.hexdigest()

    def load(self, subject: Subject) -> Sample:
        import torch

        from bench.spatial.displacement import integrate, warp

        template, tissue = self._template
        velocity = torch.from_numpy(self._velocity(subject))[None]
        u = integrate(velocity)
        labels = warp(torch.from_numpy(tissue)[None, None], u, mode="nearest")[0, 0].numpy()
        shown = warp(torch.from_numpy(template)[None, None], u)[0, 0].numpy()
        channels = [self._scan(subject, name, shown) for name in self.channel_names()]
        return Sample(
            np.stack(channels).astype(np.float32),
            labels,
            (float(self.resolution),) * self.ndim,
            landmarks=Landmarks(_origins(u, integrate(-velocity), self._points)),
        )

    def _scan(self, subject: Subject, name: str, image: np.ndarray) -> np.ndarray:
        """A contrast of a subject whose noiseless T1 (*S) is given, in [0, 1]."""
        of = ""
        if name != T1:
            peak, exponent = SHOWN[name]
            image = (image / peak * np.exp(1 - image / peak)) ** exponent
            of = f" {name}"
        image = image * np.exp(self.bias * self._field(subject, f"bias{of}", 40.0))
        noise = self._random(subject, f"noise{of}").normal(scale=self.noise, size=(2, *image.shape))
        return np.hypot(image + noise[0], noise[1]).clip(0, 1)

    @cached_property
    def _points(self) -> np.ndarray:
        """Points of the template (N, D) float64, voxels; the same for all subjects."""
        brain = np.argwhere(self._template[1] != BACKGROUND)
        random = np.random.default_rng(derive_seed(self.seed, "demo", "landmarks"))
        chosen = random.choice(len(brain), min(LANDMARKS, len(brain)), replace=False)
        return brain[chosen].astype(float)

    @cached_property
    def _template(self) -> tuple[np.ndarray, np.ndarray]:
        """T1 intensities in [0, 1] and tissue labels, on the demo's grid."""
        import torchio
        from nilearn.datasets import (
            load_mni152_brain_mask,
            load_mni152_gm_template,
            load_mni152_template,
            load_mni152_wm_template,
        )

        t1, grey, white = (
            load(resolution=self.resolution)
            for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
        )
        brain = load_mni152_brain_mask(resolution=self.resolution).get_fdata() > 0
        maps = np.stack([~brain, brain, brain * grey.get_fdata(), brain * white.get_fdata()])
        maps[CSF] -= maps[GREY] + maps[WHITE]
        labels = maps.argmax(axis=0)
        subject = torchio.Subject(
            image=torchio.ScalarImage(tensor=t1.get_fdata()[None], affine=t1.affine),
            labels=torchio.LabelMap(tensor=labels[None], affine=t1.affine),
        )
        if self.ndim == 2:
            height = (self.slice_mm - t1.affine[2, 3]) / t1.affine[2, 2]
            bottom = round(height)
            top = labels.shape[2] - bottom - 1
            subject = torchio.Crop((0, 0, 0, 0, bottom, top))(subject)
        if self.shape is not None:
            shape = (*self.shape, 1)[:3]
            subject = torchio.CropOrPad(tuple(shape))(subject)
        image = subject["image"].numpy()[0].astype(np.float32)
        tissue = subject["labels"].numpy()[0].astype(np.uint8)
        if self.ndim == 2:
            image, tissue = image[..., 0], tissue[..., 0]
        return np.ascontiguousarray(image / image.max()), np.ascontiguousarray(tissue)

    def _random(self, subject: Subject, purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, "demo", subject.id, purpose))

    def _field(self, subject: Subject, purpose: str, width: float) -> np.ndarray:
        """A smooth random field of zero mean and unit standard deviation on the demo's grid."""
        from scipy.ndimage import gaussian_filter

        noise = self._random(subject, purpose).normal(size=self._template[0].shape)
        smooth = gaussian_filter(noise, width / self.resolution, mode="wrap")
        smooth -= smooth.mean()
        return smooth / smooth.std()

    def _velocity(self, subject: Subject) -> np.ndarray:
        """Stationary velocity (D, *S) float32 in voxels."""
        parts = zip(("coarse", "fine"), self.deformation, self.smoothness, strict=True)
        velocity = np.zeros((self.ndim, *self._template[0].shape))
        for name, strength, width in parts:
            for axis in range(self.ndim):
                velocity[axis] += strength * self._field(subject, f"{name}{axis}", width)
        return (velocity / self.resolution).astype(np.float32)


def _origins(u: "Tensor", inverse: "Tensor", points: np.ndarray) -> np.ndarray:
    """Where an image warped by u shows points: q with q + u(q) = point.

    Args:
        u: (1, D, *S), voxels.
        inverse: Displacement of the inverse transform Ψ, as far as it can be had on a grid.
        points: (N, D), voxels.

    Returns:
        (N, D) float64: Ψ(point), corrected by Ψ's difference between the point and where Φ takes q.
    """
    import torch

    from bench.spatial.displacement import displacement_at

    def moved(field: "Tensor", at: "Tensor") -> "Tensor":
        return at + displacement_at(field.double(), at)

    target = torch.from_numpy(points)[None]
    origins = first = moved(inverse, target)
    for _ in range(CORRECTIONS):
        origins = origins + first - moved(inverse, moved(u, origins))
    return origins[0].numpy()
