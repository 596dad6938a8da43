"""Weights on disk. A checkpoint is data: reading one runs no code."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bench.errors import StoreError
from bench.store.files import write_atomically

ALTERED = "its bytes have changed since it was written"


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
    text = json.dumps(description)
    # one entry: the library writes several in any order
    metadata = {"network": json.dumps([_digest(state, text), text])}
    write_atomically(path, save(state, metadata=metadata))


def load_network(path: Path, network: nn.Module) -> dict[str, Any]:
    """Fills a network with the weights of a file and returns the file's description.

    Raises:
        StoreError: If the file is missing, damaged or of another network.
    """
    try:
        state, description = _read(path)
        network.load_state_dict(state)
    except Exception as error:
        raise StoreError(
            f"{path}: is not a readable checkpoint of this network ({_reason(error)}). "
            "Delete its folder and run the same command again."
        ) from error
    return description


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None if it is intact."""
    try:
        _read(path)
    except Exception as error:
        return _reason(error)
    return None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest, text = json.loads(file.metadata()["network"])
    if digest != _digest(state, text):
        raise ValueError(ALTERED)
    return state, json.loads(text)


def _digest(state: dict[str, Tensor], description: str) -> str:
    found = hashlib.sha256(description.encode())
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes the state of a training, its SHA-256 first, replacing the former one in one step."""
    content = io.BytesIO()
    torch.save(state, content)
    data = content.getvalue()
    write_atomically(path, hashlib.sha256(data).digest() + data)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state of a training; None if there is none, or none that can be read."""
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        size = hashlib.sha256().digest_size
        digest, data = content[:size], content[size:]
        if digest != hashlib.sha256(data).digest():
            raise ValueError(ALTERED)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        print(f"{path}: cannot be read ({_reason(error)}); training starts from the beginning")
        return None


def _reason(error: Exception) -> str:
    return ALTERED if str(error) == ALTERED else type(error).__name__
