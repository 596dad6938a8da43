"""Code outside the suite, which counts by its content.

Classes of the suite count by the schema version; others change without a version. A file that was
edited since a process imported it counts as it was then, which is the code that the process runs.
"""

import hashlib
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

SUITE = "bench"
_BEFORE: dict[Path, str] = {}  # contents of files when they were last read before their import
_IMPORTED: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()


def code_outside(*sections: Any) -> dict[str, str]:
    """SHA-256 of the files that define classes outside the suite, by what `_target_` names."""
    found: dict[str, str] = {}
    for section in sections:
        if isinstance(section, Mapping):
            found |= code_outside(*section.values())
            target = section.get("_target_")
            if isinstance(target, str) and not target.startswith(f"{SUITE}."):
                module, file = _defining_file(target)
                if file is not None:  # else building it says that there is none
                    found[target] = _content(module, file)
    return found


def code_of_class(kind: type) -> dict[str, str]:
    """SHA-256 of the files of a class and its bases outside the suite, by their names."""
    found = {}
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        if package != SUITE and package not in sys.stdlib_module_names:
            file = getattr(sys.modules.get(base.__module__), "__file__", None)
            if file is not None:
                found[f"{base.__module__}.{base.__qualname__}"] = _content(
                    base.__module__, Path(file)
                )
    return found


def _content(name: str, file: Path) -> str:
    """SHA-256 of a module's file, as it was imported if it has been."""
    module = sys.modules.get(name)
    if module is not None and module in _IMPORTED:
        return _IMPORTED[module]
    now = hashlib.sha256(file.read_bytes()).hexdigest()
    if module is None:
        _BEFORE[file] = now
        return now
    return _IMPORTED.setdefault(module, _BEFORE.pop(file, now))


def _defining_file(target: str) -> tuple[str, Path | None]:
    """The module of a class, and its file."""
    module = target.rpartition(".")[0]
    while module:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.has_location and spec.origin is not None:
            return module, Path(spec.origin)
        module = module.rpartition(".")[0]  # a class within a class
    return "", None
