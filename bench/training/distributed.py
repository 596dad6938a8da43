"""Running a function on several devices of one machine, a process for each."""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch.distributed

from bench.errors import BenchError, Interrupted
from bench.training.interrupts import collected_signals

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(fabric: "Fabric", function: Callable[..., Any], *args: Any) -> Any:
    """Calls `function(fabric, *args)` in every process and returns what the first one returns.

    Args:
        fabric: With a spawning strategy.
        function: Importable; it and its arguments are pickled.
        args: Its further arguments.

    Raises:
        BenchError: If all processes raise it.
        Interrupted: The same; signals are handed on to the processes.
    """
    with collected_signals(forward=True):
        outcome = fabric.launch(_Call(function, args))
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"].value


class _Call:
    """What each process runs. Errors that the user should read come back as values."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args

    def __call__(self, fabric: "Fabric") -> dict[str, Any]:
        try:
            outcome: dict[str, Any] = {"result": _Opaque(self.function(fabric, *self.args))}
        except (BenchError, Interrupted) as error:
            outcome = {"error": error.with_traceback(None)}
        _leave_group()
        return outcome


def _leave_group() -> None:
    """Ends the connection to the other processes, in order.

    Whatever of it is left when the interpreter shuts down has running threads, and destroying
    these aborts the process now and then.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class _Opaque:
    """Keeps fabric from looking for tensors in the result."""

    def __init__(self, value: Any) -> None:
        self.value = value
