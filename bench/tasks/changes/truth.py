"""What maps of changes are scored by: a mask of change, and the voxels that count."""

from collections.abc import Collection
from typing import Any

import numpy as np
from torch import Tensor

from bench.data.cache.prepared import PreparedDataset
from bench.pair import Pair
from bench.similarity.masks import mask_shares

APPEAR, VANISH, DIVIDE, MERGE = "appear", "vanish", "divide", "merge"
KINDS = (APPEAR, VANISH, DIVIDE, MERGE)
MATCHED = 0.1  # share of the smaller of two components, from which on they are the same one


class Truth:
    """Where fixed images have changed, and which voxels count.

    Args:
        dataset: The data set.
        within: As of `bench.tasks.changes.Changes`.
        change: Likewise.
        components: Likewise.
        smallest: Likewise.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        within: str | None = None,
        change: str | None = None,
        components: Collection[str] | None = None,
        smallest: int = 1,
    ) -> None:
        self.within = within
        self.label = None if change is None else dataset.class_names.index(change)
        self.components = components
        self.smallest = smallest

    def of(self, pair: Pair) -> tuple[Any, Any]:
        """The mask of change of one pair (*S) bool, None if it is not known, and where voxels
        count, None for everywhere."""
        shares = mask_shares(self.within, pair)
        counted = None if shares is None else (shares[0, 0] > 0).cpu().numpy()
        if self.label is None:
            return None if pair.change is None else _plain(pair.change), counted
        moving, fixed = (_plain(labels) == self.label for labels in pair.segmentations)
        if self.components is not None:
            return changed_components(moving, fixed, self.components, self.smallest), counted
        return fixed, counted


def _plain(labels: Tensor) -> np.ndarray:
    return labels[0, 0].cpu().numpy()


def changed_components(
    moving: np.ndarray, fixed: np.ndarray, kinds: Collection[str] = KINDS, smallest: int = 1
) -> np.ndarray:
    """Where components of a class have no single counterpart in the other image.

    Components of both images correspond where they overlap, before any registration, by at least a
    tenth of the smaller one.

    Args:
        moving: Where the class is in the moving image (*S) bool.
        fixed: Where it is in the fixed image.
        kinds: Which changes: components that `appear` in the fixed image, that `vanish` from the
            moving one (these are marked where they lie in the moving image), that `divide` into
            several of the fixed image, or several that `merge` into one of it.
        smallest: Voxels of a component, at least; smaller ones are as if they were not there.

    Returns:
        A mask (*S) bool on the fixed image's grid.
    """
    (ours, our_count), (theirs, their_count) = (_numbered(one, smallest) for one in (moving, fixed))
    common = np.zeros((our_count + 1, their_count + 1), int)
    np.add.at(common, (ours, theirs), 1)
    sizes = np.minimum(common.sum(1)[:, None], common.sum(0)[None])
    same = (common >= MATCHED * sizes) & (common > 0)
    same[0], same[:, 0] = False, False
    of_ours, of_theirs = same.sum(1), same.sum(0)
    chosen = {
        APPEAR: (theirs, of_theirs == 0),
        VANISH: (ours, of_ours == 0),
        DIVIDE: (theirs, same[of_ours > 1].any(0)),
        MERGE: (theirs, of_theirs > 1),
    }
    found = np.zeros(moving.shape, bool)
    for kind in kinds:
        components, marked = chosen[kind]
        found |= marked[components] & (components > 0)
    return found


def _numbered(mask: np.ndarray, smallest: int) -> tuple[np.ndarray, int]:
    """Numbers from 1 of the components of a mask that are large enough, and the last of them."""
    from scipy.ndimage import generate_binary_structure, label

    components, count = label(mask, generate_binary_structure(mask.ndim, mask.ndim))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    return np.where(sizes[components] >= smallest, components, 0), count
