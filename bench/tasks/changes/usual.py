"""What a map of changes is usually at each place of an image: its mean over healthy subjects."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.pairs import evenly_spaced
from bench.errors import Unsupported, counted
from bench.pair import Pair


class Usual:
    """Mean maps of images over controls, which are registered to them.

    Source: Czolbe, Feragen and Krause, arXiv:2106.08233, for tumours.

    Args:
        dataset: The data set.
        controls: Positions of the subjects.
        mapped: Registers a pair and gives its map (1, *S) on the fixed image's grid.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        controls: Sequence[int],
        mapped: Callable[[Pair], Tensor],
    ) -> None:
        self.dataset = dataset
        self.controls = controls
        self.mapped = mapped
        self._last: tuple[str, Tensor] | None = None

    def of(self, name: str, device: torch.device) -> Tensor:
        """The mean map (1, *S) of a subject's image as it is without a change, on its grid."""
        if self._last is None or self._last[0] != name:  # pairs of one moving image follow
            member, maps = self.dataset.ids.index(name), []
            for control in self.controls:
                pair = read_pairs(self.dataset, [(control, member)], device, changed=False)
                maps.append(self.mapped(pair))
            self._last = name, torch.stack(maps).mean(0)
        return self._last[1]


def healthy(dataset: PreparedDataset, count: int, change: int | None) -> list[int]:
    """Training subjects that are controls, evenly spaced over those without the change.

    Args:
        dataset: The data set.
        count: How many.
        change: Label that none of them has; None if changes have no label.

    Raises:
        Unsupported: If there are fewer, or images are not of one size.
    """
    if dataset.shapes is not None:
        raise Unsupported(
            f"task.controls={count}: dataset={dataset.name} has images of different sizes, whose "
            "places do not correspond. Set dataset.shape, or task.controls=null."
        )
    members = dataset.members("train")
    if change is not None:
        members = [i for i in members if not (dataset.labels_of([i]) == change).any()]
    if len(members) < count:
        lacks = "" if change is None else f" without {dataset.class_names[change]}"
        fewer = f"task.controls={len(members)} or fewer, or " if members else ""
        raise Unsupported(
            f"task.controls={count}: dataset={dataset.name} has only "
            f"{counted(len(members), 'training subject')}{lacks} to take as controls. Add some, or "
            f"set {fewer}task.controls=null."
        )
    return evenly_spaced(members, count)
