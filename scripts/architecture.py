"""Draws docs/images/architecture.svg from the code: packages as boxes, imports as arrows.

    python scripts/architecture.py           # writes the picture
    python scripts/architecture.py --check   # says whether it is current

A package stands on the floor above all that it imports. An import that another path of arrows
implies is not drawn.
"""

import sys
from collections import defaultdict
from html import escape
from pathlib import Path

import grimp

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "architecture.svg"
PACKAGE = "bench"
WIDTH, BOX, HEIGHT, GAP = 860, 128, 46, 40  # pixels


def imports() -> dict[str, set[str]]:
    """The packages and modules directly in the package, and which of them each imports."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[str, set[str]] = {
        name.removeprefix(f"{PACKAGE}."): set()
        for name in graph.find_children(PACKAGE)
        if not name.endswith("__main__")
    }
    for module in graph.modules:
        importer = module.split(".")[1:2]
        for imported in graph.find_modules_directly_imported_by(module):
            target = imported.split(".")[1:2]
            if importer and target and importer != target and importer[0] in found:
                found[importer[0]].add(target[0])
    return found


def floors(found: dict[str, set[str]]) -> list[list[str]]:
    """The packages by floor, the ground first.

    Raises:
        ValueError: If imports go round in a circle.
    """
    floor: dict[str, int] = {}
    while len(floor) < len(found):
        ready = [n for n in found if n not in floor and all(t in floor for t in found[n])]
        if not ready:
            raise ValueError(f"imports go round among {sorted(set(found) - set(floor))}")
        for name in ready:
            floor[name] = 1 + max((floor[target] for target in found[name]), default=-1)
    rows: dict[int, list[str]] = defaultdict(list)
    for name in sorted(found):
        rows[floor[name]].append(name)
    return [rows[number] for number in sorted(rows)]


def reduced(found: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that no other path implies."""
    reach: dict[str, set[str]] = {}
    for row in floors(found):
        for name in row:
            reach[name] = set().union(*({t} | reach[t] for t in found[name]))
    return [
        (name, target)
        for name in sorted(found)
        for target in sorted(found[name])
        if not any(target in reach[other] for other in found[name] - {target})
    ]


def draw() -> str:
    """The picture as SVG."""
    found = imports()
    rows = floors(found)
    place: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(reversed(rows)):
        for i, name in enumerate(row):
            middle = WIDTH * (i + 1) / (len(row) + 1)
            lean = (number % 3 - 1) * 90 if len(row) == 1 else 0  # so that long arrows pass by
            place[name] = (middle + lean, 20 + number * (HEIGHT + GAP))
    height = 40 + len(rows) * (HEIGHT + GAP) - GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6b7b"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for name, target in reduced(found):
        (x1, y1), (x2, y2) = place[name], place[target]
        parts.append(
            f'<path d="M{x1:.0f} {y1 + HEIGHT:.0f} L{x2:.0f} {y2:.0f}" stroke="#5b6b7b" '
            'stroke-width="1.3" fill="none" marker-end="url(#tip)"/>'
        )
    for name, (x, y) in sorted(place.items()):
        modules = len(list((Path(PICTURE).parents[2] / PACKAGE / name).rglob("*.py")))
        note = f"{modules - 1} modules" if modules else "module"
        parts.append(
            f'<rect x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{HEIGHT}" rx="7" '
            'fill="#eef4fa" stroke="#2f5f8f"/>'
            f'<text x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle" font-size="14" '
            f'fill="#12283d">{escape(name)}</text>'
            f'<text x="{x:.0f}" y="{y + 36:.0f}" text-anchor="middle" font-size="10" '
            f'fill="#5b6b7b">{note}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Writes the picture, or says whether it is current."""
    picture = draw()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture)
        print(PICTURE)
    elif not PICTURE.exists() or PICTURE.read_text() != picture:
        sys.exit(f"{PICTURE}: is not current. Run python scripts/architecture.py.")


if __name__ == "__main__":
    main()
