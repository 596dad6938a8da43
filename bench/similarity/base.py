"""What a similarity metric is."""

from abc import ABC, abstractmethod

from torch import Tensor

from bench.pair import Pair, one_by_one


class Similarity(ABC):
    """Base class of the metrics here; any callable will do, `supports` is optional.

    Attributes:
        needs_landmarks: Whether it looks at landmarks; optional, too.
    """

    needs_landmarks: bool = False

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        """Why the metric cannot work on such images, or None if it can.

        Asked before anything is trained.

        Args:
            ndim: 2 or 3 spatial axes.
            channels: Channels of the images.
            labels: Whether the data set has label maps.
        """
        return None

    @abstractmethod
    def __call__(self, pair: Pair) -> Tensor:
        """Dissimilarity of the warped moving image and the fixed image.

        Returns:
            Float32 scalar, differentiable in `pair.u`.
        """

    def each(self, pair: Pair) -> Tensor:
        """D of each pair of the batch, as if it were alone.

        Returns:
            (B,) float32, differentiable in `pair.u`.
        """
        return one_by_one(self, pair)

    def local(self, pair: Pair) -> Tensor | None:
        """D of each voxel, (B, *S), wherever the metric looks; None if it has none.

        Its mean is D, up to the interpolation of coarser levels.
        """
        return None
