"""Weights on disk. A checkpoint is data: reading one runs no code."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from bench.errors import StoreError
from bench.store.folder import write_atomically


def save_network(path: Path, network: nn.Module, description: dict[str, Any]) -> None:
    """Writes a network's weights with what is needed to build it again.

    Args:
        path: A `.safetensors` file; replaced in one step.
        network: The network.
        description: JSON-serializable; by convention `network` holds its `_target_` and
            arguments.
    """
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    write_atomically(path, save(state, metadata={"description": json.dumps(description)}))


def load_network(path: Path, network: nn.Module) -> dict[str, Any]:
    """Fills a network with the weights of a file and returns the file's description.

    Raises:
        StoreError: If the file is missing, damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            description = json.loads((file.metadata() or {}).get("description", "{}"))
        network.load_state_dict(state)
    except Exception as error:
        raise StoreError(
            f"{path}: is not a readable checkpoint of this network ({type(error).__name__}). "
            "Delete its folder and run the same command again."
        ) from error
    return description


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes the state of a training, replacing the former one in one step."""
    content = io.BytesIO()
    torch.save(state, content)
    write_atomically(path, content.getvalue())


def load_state(path: Path) -> dict[str, Any] | None:
    """The state of a training; None if there is none, or none that can be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        print(
            f"{path}: cannot be read ({type(error).__name__}); training starts from the beginning"
        )
        return None
