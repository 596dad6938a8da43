"""Units of length: their names in files, and the unit of a data set's distances."""

from collections.abc import Sequence

PIXELS = "px"
MILLIMETRES = {  # in one unit, by the names that OME, ImageJ and TIFF give it
    "m": 1e3,
    "dm": 1e2,
    "cm": 1e1,
    "centimeter": 1e1,
    "mm": 1.0,
    "millimeter": 1.0,
    "µm": 1e-3,  # micro sign
    "μm": 1e-3,
    "um": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "Å": 1e-7,
    "pm": 1e-9,
    "in": 25.4,
    "inch": 25.4,
}
READABLE = 0.1  # of the unit, for the shortest edge of a voxel


def readable(edges: Sequence[float], unit: str) -> tuple[tuple[float, ...], str]:
    """Voxel edges in the unit that needs the fewest digits.

    Args:
        edges: In mm, or 1 where the voxel size is unknown.
        unit: `mm`, or `px` where it is unknown.

    Returns:
        Edges and unit: mm, µm or nm, or as given for `px`.
    """
    if unit == PIXELS:
        return tuple(edges), unit
    for name in ("mm", "µm", "nm"):
        lengths = tuple(edge / MILLIMETRES[name] for edge in edges)
        if min(lengths) >= READABLE:
            break
    return lengths, name


def listed(edges: Sequence[float], unit: str) -> str:
    """Edges, as text for messages and tables."""
    lengths, unit = readable(edges, unit)
    return f"{' x '.join(f'{length:.4g}' for length in lengths)} {unit}"
