"""Code outside the suite, which counts by its content.

Classes of the suite count by the schema version; others change without a version, as do the
modules that theirs import. A file that was edited since a process imported it counts as it was
then, which is the code that the process runs.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipimport import zipimporter

from bench.config.imports import (
    forget_places,
    imported_modules,
    is_found,
    is_standard,
    located,
)
from bench.errors import ConfigError, StoreError

SUITE = "bench"


class _Code(NamedTuple):
    """A module's file as it was read: SHA-256, and the modules that it imports."""

    digest: str
    imports: Mapping[str, Path]


_BEFORE: dict[Path, _Code] = {}  # files when they were last read before their import
_IMPORTED: dict[tuple[str, Path], tuple[object, _Code]] = {}  # by name and file, with the module


def code_outside(*sections: Any) -> dict[str, str]:
    """SHA-256 of the files outside the suite whose code sections run.

    These are the modules of the classes that `_target_` names, and those that they import, directly
    or through others. Installed libraries are not followed.

    Returns:
        Digests by the names of the modules.
    """
    forget_places()
    found: dict[str, str] = {}
    for target in _targets(sections):
        module, file = _defining_file(target)
        if file is not None:  # else building it says that there is none
            found |= _with_imports(module, file)
    return found


def check_code(run: str, recorded: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Checks that a finished run's code is still the code that it ran.

    Args:
        run: Its name, for the message.
        recorded: SHA-256 by module, as its summary says; empty if all code is the suite's.
        config: Its configuration.

    Raises:
        StoreError: If a file outside the suite has changed since.
    """
    now = code_outside(config) if recorded else {}
    changed = [name for name, content in now.items() if recorded.get(name, content) != content]
    if changed:
        raise StoreError(
            f"{run}: its code has changed since: {', '.join(sorted(changed))}. Restore it, or run "
            "the command again, which makes another run."
        )


def check_found(config: Mapping[str, Any]) -> None:
    """Raises ConfigError if a class of a section lies in a module that Python does not find."""
    for section, content in config.items():
        for target in _targets(content):
            module = target.partition(".")[0]
            if not is_found(module):
                raise ConfigError(
                    f"{section}._target_={target}: cannot be built (No module named '{module}'). "
                    "Name an importable class (PYTHONPATH=FOLDER makes your files importable)."
                )


def code_of_class(kind: type) -> dict[str, str]:
    """The same of a class and its bases."""
    forget_places()
    found: dict[str, str] = {}
    for base in kind.__mro__:
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file is not None and base.__module__.partition(".")[0] != SUITE:
            found |= _with_imports(base.__module__, Path(file))
    return found


def _targets(content: Any) -> Iterator[str]:
    """The classes outside the suite that a configuration names."""
    if isinstance(content, list | tuple):
        for one in content:
            yield from _targets(one)
    elif isinstance(content, Mapping):
        yield from _targets(list(content.values()))
        target = content.get("_target_")
        if isinstance(target, str) and not target.startswith(f"{SUITE}."):
            yield target


def _with_imports(module: str, file: Path) -> dict[str, str]:
    """SHA-256 of a module, and of those that it imports."""
    found: dict[str, str] = {}
    left = {} if is_standard(file) else {module: file}
    while left:
        name, path = left.popitem()
        if name not in found and name.partition(".")[0] != SUITE:
            code = _code(name, path)
            found[name] = code.digest
            left |= code.imports
    return found


def _code(name: str, file: Path) -> _Code:
    """A module's file, as it was imported if it has been."""
    module = sys.modules.get(name)
    imported, known = _IMPORTED.get((name, file), (None, None))
    if known is not None and imported is module:
        return known
    content = _read(file)
    now = _Code(hashlib.sha256(content).hexdigest(), imported_modules(name, file, content))
    if module is None:
        _BEFORE[file] = now
        return now
    _IMPORTED[name, file] = module, _BEFORE.pop(file, now)
    return _IMPORTED[name, file][1]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except NotADirectoryError:  # in an archive
        return zipimporter(str(file.parent)).get_data(str(file))


def _defining_file(target: str) -> tuple[str, Path | None]:
    """The module of a class, and its file."""
    module = target.rpartition(".")[0]
    while module:
        file = located(module)
        if file is not None:
            return module, file
        module = module.rpartition(".")[0]  # a class within a class
    return "", None
