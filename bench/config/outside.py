"""Code outside the suite, which counts by its content.

Classes of the suite count by the schema version; others change without a version.
"""

import hashlib
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SUITE = "bench"


def code_outside(*sections: Any) -> dict[str, str]:
    """SHA-256 of the files that define classes outside the suite, by what `_target_` names."""
    found: dict[str, str] = {}
    for section in sections:
        if isinstance(section, Mapping):
            found |= code_outside(*section.values())
            target = section.get("_target_")
            if isinstance(target, str) and not target.startswith(f"{SUITE}."):
                file = _defining_file(target)
                if file is not None:  # else building it says that there is none
                    found[target] = _content(file)
    return found


def code_of_class(kind: type) -> dict[str, str]:
    """SHA-256 of the files of a class and its bases outside the suite, by their names."""
    found = {}
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        if package != SUITE and package not in sys.stdlib_module_names:
            file = getattr(sys.modules.get(base.__module__), "__file__", None)
            if file is not None:
                found[f"{base.__module__}.{base.__qualname__}"] = _content(Path(file))
    return found


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _defining_file(target: str) -> Path | None:
    module = target.rpartition(".")[0]
    while module:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.has_location and spec.origin is not None:
            return Path(spec.origin)
        module = module.rpartition(".")[0]  # a class within a class
    return None
