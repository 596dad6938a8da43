"""What a metric or regularizer returns, and that it leaves alone what it looks at."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.errors import BenchError, ConfigError, place_of
from bench.pair import Pair


def value_of(what: str, function: Callable[[Any], Any], argument: Any, where: str) -> Tensor:
    """What a metric or regularizer returns, a finite scalar.

    Args:
        what: Its name, for messages.
        function: The metric or regularizer.
        argument: What it looks at.
        where: What that is, for messages, such as `on the first training pair`.

    Raises:
        ConfigError: If it is none, or fails, or changes what it looks at.
    """
    if not callable(function):
        raise ConfigError(f"{what}: {type(function).__name__} has no __call__; it must have one.")
    before = {name: value.detach().clone() for name, value in _looked_at(argument).items()}
    try:
        value = function(argument)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{what} fails {where}: {type(error).__name__}: {reason} ({place_of(error)})"
        ) from error
    if not isinstance(value, Tensor) or value.ndim != 0:
        kind = type(value).__name__
        given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else kind
        raise ConfigError(f"{what} returns {given} {where}; it must return a scalar tensor.")
    if not value.isfinite():
        raise ConfigError(f"{what} is {value.item()} {where}; it must return a finite number.")
    after = _looked_at(argument)
    changed = [name for name in before if not _is_same(before[name], after.get(name))]
    if changed:
        raise ConfigError(
            f"{what} changes {changed[0]} in place {where}, and whatever reads it next is wrong. "
            "Use operations that return new tensors, such as add instead of add_, and clone() "
            "what comes from numpy()."
        )
    return value


def _looked_at(argument: Any) -> dict[str, Tensor]:
    """What a metric or regularizer may look at and is shared with others, by name."""
    if not isinstance(argument, Pair):
        return {"its argument": argument}
    names = ["moving", "fixed", "u", "warped"] + ["change"] * (argument.change is not None)
    found = {f"pair.{name}": getattr(argument, name) for name in names}
    for name, is_there in (
        ("segmentations", argument.has_labels),
        ("landmarks", argument.has_landmarks),
    ):
        for index, value in enumerate(getattr(argument, name) if is_there else ()):
            found[f"pair.{name}[{index}]"] = value
    return found


def _is_same(before: Tensor, after: Any) -> bool:
    """Whether a tensor has kept its shape and values, NaN included."""
    if not isinstance(after, Tensor) or after.shape != before.shape:
        return False
    return bool(((before == after) | ((before != before) & (after != after))).all())
