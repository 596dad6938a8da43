"""Where modules lie, and which ones a file imports, found without importing any."""

import ast
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import distributions
from itertools import accumulate
from pathlib import Path
from pkgutil import get_importer

INSTALLED = {"site-packages", "dist-packages"}
STANDARD = [Path(sysconfig.get_path(place)) for place in ("stdlib", "platstdlib")]


def located(name: str, beside: Path | None = None) -> Path | None:
    """The file of a module, whichever module of that name has been imported.

    Args:
        name: With its packages: `package.module`.
        beside: A folder that is searched after those of `sys.path`.

    Returns:
        None if there is none, as for packages without `__init__.py` and built-in modules.
    """
    spec = _specification(name, beside)
    return None if spec is None or not spec.has_location else Path(str(spec.origin))


def is_found(name: str) -> bool:
    """Whether Python knows a module, or would find it; of one in packages, only the first."""
    package = name.partition(".")[0]
    return package in sys.modules or _specification(package, None) is not None


def imported_modules(name: str, file: Path, content: bytes) -> dict[str, Path]:
    """Names and files of what a file imports, other than installed libraries and Python's own.

    Imports within functions and conditions count too, and so does the `__init__.py` of each
    package on the way, which Python runs before. An installed file imports nothing that counts.

    Args:
        name: The file's module, with its packages: `package.module`.
        file: Where it lies.
        content: What is in it; a file without valid syntax imports nothing.
    """
    if is_installed(file):
        return {}
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: dict[str, Path] = {}
    for module in filter(None, (package, *_imports(content, package))):
        for part in accumulate(module.split("."), "{}.{}".format):
            path = found.get(part) or located(part, file.parent)
            if path is not None and (is_installed(path) or is_standard(path)):
                break
            if path is not None and path != file:
                found[part] = path
    return found


def forget_places() -> None:
    """Looks again where modules lie, which is remembered until then."""
    _specification.cache_clear()


def is_installed(file: Path) -> bool:
    """Whether a file belongs to an installed library; those in editable mode lie elsewhere."""
    if not INSTALLED.isdisjoint(file.parts):
        return True
    depth = len(file.parents)
    return any(file.parts[depth - i] in _installed(root) for i, root in enumerate(file.parents))


def is_standard(file: Path) -> bool:
    """Whether a file belongs to Python itself."""
    return not is_installed(file) and any(map(file.is_relative_to, STANDARD))


@cache
def _specification(name: str, beside: Path | None) -> ModuleSpec | None:
    package = name.rpartition(".")[0]
    if not package:
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        said = (finder.find_spec(name, None) for finder in finders)
        return next(filter(None, said), None) or (_within(name, [str(beside)]) if beside else None)
    parent = _specification(package, beside)
    return parent and _within(name, parent.submodule_search_locations or ())


def _within(name: str, places: Iterable[str]) -> ModuleSpec | None:
    """A module or package in one of some folders, or a package spread over several."""
    folders: list[str] = []
    for finder in filter(None, map(get_importer, places)):
        spec = finder.find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        folders += (spec and spec.submodule_search_locations) or ()
    spread = ModuleSpec(name, None, is_package=True)
    spread.submodule_search_locations = folders
    return spread if folders else None


@cache
def _installed(folder: Path) -> frozenset[str]:
    """Files and folders in a folder that belong to libraries installed there, as by `--target`."""
    known = [one for one in distributions(path=[str(folder)]) if one.read_text("RECORD")]
    return frozenset(file.parts[0] for one in known for file in one.files or ())


@cache
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Names that a file imports; of `from a import b` both `a` and `a.b`, which may be a module."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # importing it says what is wrong
    parents = package.split(".") if package else []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level <= len(parents):
            above = parents[: len(parents) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(found)
