"""What the suite asks of the networks that metrics compare images by."""

from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from bench.errors import ConfigError

FEATURES = ("levels", "factors", "supports", "features")
SURROGATE = ("task", "needs_labels", "loss", "score")


class FeatureNetwork(Protocol):
    """A module that gives a feature pyramid."""

    @property
    def levels(self) -> int:
        """Length of the pyramid."""

    @property
    def factors(self) -> Sequence[int]:
        """How much coarser than the image each level is."""

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""

    def features(self, image: Tensor) -> list[Tensor]:
        """Pyramid of (B, C_l, *S_l), finest first, from (B, C, *S)."""


class SurrogateNetwork(FeatureNetwork, Protocol):
    """A feature network that the suite trains on a surrogate task, by `forward(image)`.

    It is built from an `extractor` section with `ndim`, `image_channels` and `classes` added.
    Training minimizes `loss`; the parameters of the least validation loss are kept.
    """

    @property
    def task(self) -> str:
        """Name of the task; its folder is called by it."""

    @property
    def needs_labels(self) -> bool:
        """Whether `loss` and `score` get segmentations."""

    def loss(self, output: Any, image: Tensor, segmentation: Tensor | None) -> Tensor:
        """Loss of a batch.

        Args:
            output: What `forward` made of the image.
            image: (B, C, *S).
            segmentation: (B, 1, *S) positions of classes; None without labels.
        """

    def score(self, output: Any, image: Tensor, segmentation: Tensor | None) -> dict[str, float]:
        """Named numbers that tell how well the task is solved; for messages and the summary."""


@runtime_checkable
class StartsFromImages(Protocol):
    """A surrogate network whose training begins from what some images hold."""

    def start_from(self, images: Tensor) -> None:
        """Sets parameters from training images (N, C, *S), before the first step."""


def feature_network(network: nn.Module) -> FeatureNetwork:
    """The network as one that gives features.

    Raises:
        ConfigError: If its class lacks something of the protocol.
    """
    _check(network, FEATURES, "FeatureNetwork")
    return cast(FeatureNetwork, network)


def surrogate_network(network: nn.Module) -> SurrogateNetwork:
    """The network as one that learns a surrogate task.

    Raises:
        ConfigError: If its class lacks something of the protocol.
    """
    _check(network, (*FEATURES, *SURROGATE), "SurrogateNetwork")
    return cast(SurrogateNetwork, network)


def _check(network: nn.Module, members: Sequence[str], protocol: str) -> None:
    lacking = [name for name in members if not hasattr(network, name)]
    if lacking:
        kind = type(network)
        raise ConfigError(
            f"metric.extractor._target_={kind.__module__}.{kind.__qualname__}: lacks "
            f"{', '.join(lacking)}. Add what {protocol} in bench/extractors/protocol.py asks for."
        )
