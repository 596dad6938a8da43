"""Compiled networks: faster where it works, and never a reason to fail."""

import torch
from torch import nn


def compile_network(network: nn.Module, device: torch.device, graphs: bool = False) -> None:
    """Compiles a network in place, or says in one line why it stays as it is.

    Parts that cannot be compiled run as before.

    Args:
        network: On the device.
        device: Where it is trained.
        graphs: Whether steps are replayed as CUDA graphs.
    """
    reason = _obstacle(device)
    if reason is not None:
        print(f"trainer.compile: not possible here, continuing without ({reason})")
        return
    torch._dynamo.config.suppress_errors = True
    network.compile(mode="reduce-overhead" if graphs else "default", dynamic=False)


def _obstacle(device: torch.device) -> str | None:
    """Why nothing can be compiled for the device, found by compiling a small network."""
    trial = nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU()).to(device)
    try:
        torch.compile(trial)(torch.ones(1, 2, device=device)).sum().backward()
    except Exception as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None
