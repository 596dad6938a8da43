"""The files that an image consists of."""

import re
from pathlib import Path

from bench.errors import DataError


def files_in(folder: Path) -> list[Path]:
    """The files of a folder without hidden ones, numbers in their names in counting order.

    Raises:
        DataError: If a name is not UTF-8.
    """
    found = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    for path in found:
        check_name(path)
    return sorted(found, key=lambda path: _natural(path.name))


def check_name(path: Path) -> None:
    """Raises DataError if a file's name is not UTF-8: tables and figures could not show it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        escaped = str(path).encode(errors="backslashreplace").decode()
        raise DataError(f"{escaped}: its name is not UTF-8. Rename it.") from error


def parts_of(path: Path) -> list[Path]:
    """All files of an image: those of a folder, or a header and the files that it names."""
    if path.is_dir():
        return files_in(path)
    lowered = path.name.lower()
    if lowered.endswith((".mhd", ".nhdr")) and path.exists():
        others = _pointed_to(path.read_text(errors="replace"))
    elif halves := re.fullmatch(r"(.*\.)(hdr|img)(\.gz)?", path.name, re.I):
        other = "img" if halves[2].lower() == "hdr" else "hdr"
        others = [halves[1] + ending for ending in (other, other.upper(), f"{other}.gz")]
    else:
        others = []
    return [path, *(path.parent / name for name in others if (path.parent / name).is_file())]


def _pointed_to(header: str) -> list[str]:
    """The files that a header of MetaImage or NRRD names: one, a list, or numbered ones."""
    found = re.search(r"^(?:ElementDataFile|data ?file)\s*[=:]\s*(\S.*?)\s*$", header, re.M | re.I)
    if not found:
        return []
    if found[1].split()[0] == "LIST":
        return [line.strip() for line in header[found.end() :].splitlines() if line.strip()]
    numbered = re.fullmatch(r"([^\s%]*%0?\d?d[^\s%]*)((?:\s+\d{1,6}){3})", found[1])
    if not numbered:
        return [found[1]]
    first, last, step = (int(number) for number in numbered[2].split())
    return [numbered[1] % number for number in range(first, last + 1, max(step, 1))]


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]
