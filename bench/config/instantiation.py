"""Builds the object that a section of the configuration names."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.errors import BenchError, ConfigError, own_cause, place_of


def build(section: dict[str, Any], where: str, **further: Any) -> Any:
    """Builds the object that a section's `_target_` names.

    Args:
        section: `_target_` and keyword arguments.
        where: The section's name, for messages.
        further: Arguments that the suite adds.

    Raises:
        ConfigError: If it cannot be imported or does not take these arguments.
    """
    target = section.get("_target_")
    try:
        make = instantiate({**section, "_convert_": "all", "_partial_": True})
        return make(**further)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module or class does
        cause = own_cause(error)
        if cause is not None:
            raise cause from None
        raise ConfigError(
            f"{where}._target_={target}: cannot be built ({_reason(error, str(target))}). Name an "
            "importable class (PYTHONPATH=FOLDER makes your files importable) and give its "
            f"arguments in conf/{where.partition('.')[0]}/."
        ) from error


def _reason(error: BaseException, target: str) -> str:
    """What is wrong with a class, without what Hydra says around it."""
    root = error
    while isinstance(root, InstantiationException) or type(root) is ImportError:
        if root.__cause__ is None:
            break
        root = root.__cause__
    said = " ".join(str(root).split())
    if isinstance(root, SyntaxError):
        return f"{root.filename}, line {root.lineno}: {root.msg}"
    if isinstance(root, ModuleNotFoundError) and "is not a package" in said:
        module, _, name = target.rpartition(".")
        return f"module {module} has no {name}"
    if isinstance(root, TypeError | InstantiationException | ImportError | AttributeError):
        return said
    return f"{type(root).__name__}: {said} ({place_of(root)})"
