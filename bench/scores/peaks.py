"""Which components of a change the peaks of a map find, at few false ones."""

from collections.abc import Sequence

import numpy as np

from bench.scores.case import Case

WIDTH = 2.0  # voxels, of the Gaussian under which a map has peaks
APART = 5  # voxels, from which no two peaks are nearer
MOST = 1000  # peaks of a map that are looked at


def found_at_1(case: Case, name: str) -> float:
    """Share of the components that are found before a second false peak."""
    return _found(case, name, 1)


def found_at_4(case: Case, name: str) -> float:
    """Share of the components that are found before a fifth false peak."""
    return _found(case, name, 4)


def _found(case: Case, name: str, most: int) -> float:
    components, count = case.keep("components of the change", lambda: _components(case))
    listed = case.keep(
        f"peaks of {name}", lambda: peaks(case.maps[name], components, case.counted, 4)
    )
    return share_found(listed, most, count)


def _components(case: Case) -> tuple[np.ndarray, int]:
    """Components (*S) of the change that counts, numbered from 1, and their number."""
    from scipy.ndimage import generate_binary_structure, label

    assert case.change is not None
    change = case.change if case.counted is None else case.change & case.counted
    return label(change, generate_binary_structure(change.ndim, change.ndim))


def peaks(
    values: np.ndarray, components: np.ndarray, counted: np.ndarray | None, most: int
) -> list[int]:
    """Components that the peaks of a map lie in, from the highest on; 0 is none.

    They are peaks of a free-response ROC curve (Bunch et al., "A free response approach to the
    measurement and characterization of radiographic-observer performance", SPIE 1977).

    Args:
        values: The map (*S).
        components: Numbers of the components of the change (*S) from 1, 0 elsewhere.
        counted: Where peaks are looked for (*S); None for everywhere.
        most: False peaks, after which no further ones are listed.
    """
    from scipy.ndimage import gaussian_filter

    where = np.ones(values.shape, bool) if counted is None else counted
    least = values[where].min() if where.any() else 0.0
    smooth = gaussian_filter(np.where(where, values, least).astype(np.float64), WIDTH)
    smooth[~where] = -np.inf
    listed: list[int] = []
    missing = set(np.unique(components)) - {0}
    while missing and listed.count(0) <= most and len(listed) < MOST:
        place = np.unravel_index(int(smooth.argmax()), smooth.shape)
        if smooth[place] == -np.inf:
            break
        listed.append(int(components[place]))
        missing.discard(listed[-1])
        around = tuple(slice(max(0, at - APART), at + APART + 1) for at in place)
        offsets = [
            np.arange(n)[part] - at for n, part, at in zip(smooth.shape, around, place, strict=True)
        ]
        squares = sum(np.square(axis) for axis in np.meshgrid(*offsets, indexing="ij"))
        smooth[around] = np.where(squares <= APART**2, -np.inf, smooth[around])
    return listed


def share_found(listed: Sequence[int], most: int, count: int) -> float:
    """Share of the components of a change that peaks find; NaN without any.

    Args:
        listed: Of `peaks`.
        most: How many of the peaks may be false.
        count: Number of components.
    """
    false = np.cumsum([component == 0 for component in listed])
    seen = {c for c, n in zip(listed, false, strict=True) if c and n <= most}
    return len(seen) / count if count else float("nan")
