"""Builds the object that a section of the configuration names."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.errors import BenchError, ConfigError, own_cause


def build(section: dict[str, Any], where: str, **further: Any) -> Any:
    """Builds the object that a section's `_target_` names.

    Args:
        section: `_target_` and keyword arguments.
        where: The section's name, for messages.
        further: Arguments that the suite adds.

    Raises:
        ConfigError: If it cannot be imported or does not take these arguments.
    """
    try:
        make = instantiate({**section, "_convert_": "all", "_partial_": True})
        return make(**further)
    except BenchError:
        raise
    except (InstantiationException, TypeError) as error:
        cause = own_cause(error)
        if cause is not None:
            raise cause from None
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(
            f"{where}._target_={section.get('_target_')}: cannot be built ({reason}). Name an "
            "importable class (PYTHONPATH=FOLDER makes your files importable) and give its "
            f"arguments in conf/{where.partition('.')[0]}/."
        ) from error
