"""A method after an affine registration."""

from torch import Tensor

from bench.models.method import Method, Objective, reason_against, reason_against_objective
from bench.pair import Pair
from bench.spatial.displacement import affine_origins, compose, warp


class AffineFirst:
    """Registers affinely, then by another method what is left.

    Args:
        method: What registers the affinely warped images; its D + λR is of what it adds.
        affine: The affine registration.
    """

    def __init__(self, method: Method, affine: Method) -> None:
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
