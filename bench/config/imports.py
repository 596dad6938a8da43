"""The modules that a file imports from its own package or from beside it, found without import."""

import ast
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}  # folders in which neighbours are strangers


def imported_from_beside(name: str, file: Path, content: bytes) -> dict[str, Path]:
    """Names and files of a file's imports that lie in its package or beside it.

    Imports within functions and conditions count too, and so does the `__init__.py` of each
    package on the way, which Python runs before. Installed packages have none: they are libraries.

    Args:
        name: The file's module, with its packages: `package.module`.
        file: Where it lies.
        content: What is in it; a file without valid syntax imports nothing.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    packages = package.split(".") if package else []
    folders = list(file.absolute().parents)[: len(packages) + 1]  # the package's first
    if folders[-1].name in INSTALLED:
        return {}
    found = {}
    for module in (package, *_imports(content, package)):
        parts = [part for part in module.split(".") if part]
        for length in range(1, len(parts) + 1):
            path = _source(_place(parts[:length], packages, folders))
            if path is not None and path != file:
                found[".".join(parts[:length])] = path
    return found


def _place(parts: list[str], packages: list[str], folders: list[Path]) -> Path:
    """Where a module would lie, without ending.

    The folder of a package may have another name than the package, so the packages that a file
    shares with it lead there over the file's own folders.

    Args:
        parts: Of the module's name.
        packages: That the file lies in.
        folders: Of these packages, innermost first, and the one in which the first lies.
    """
    shared = sum(
        1 for _ in takewhile(lambda both: both[0] == both[1], zip(parts, packages, strict=False))
    )
    return folders[min(len(packages) - shared, len(folders) - 1)].joinpath(*parts[shared:])


def _source(place: Path) -> Path | None:
    """The file of the module or package that would lie at a place."""
    files = place / "__init__.py", place.parent / f"{place.name}.py"
    return next((file for file in files if file.is_file()), None)


@lru_cache(maxsize=1024)
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Names that a file imports; of `from a import b` both `a` and `a.b`, which may be a module."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # importing it says what is wrong
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: package.count(".") + 2 - node.level]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names if base)]
    return tuple(found)
