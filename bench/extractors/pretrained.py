"""Networks that others have trained: a class with `load`, and a file with a state dict.

The section of such a network has the key `state_dict`: a file, or null for the one that the class
itself knows to find. Nothing else of the suite has to know the network.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.error import URLError

import torch
from torch import Tensor

from bench.config.contents import file_digest
from bench.errors import BenchError, ConfigError

OPTION = "metric.extractor.state_dict"


@runtime_checkable
class Pretrained(Protocol):
    """A feature network that reads its parameters from a file before it is used."""

    def load(self, folder: Path) -> None:
        """Reads the state dict that it was built with, or its official one.

        Args:
            folder: Where downloaded files are kept.
        """


def read_state_dict(
    path: Path, wanted: Mapping[str, Tensor], network: str, remedy: str
) -> dict[str, Tensor]:
    """The tensors of a state dict that a network needs.

    Args:
        path: The file.
        wanted: By key, tensors of the shapes that are needed.
        network: What messages call the network.
        remedy: Which file to give, for messages.

    Raises:
        ConfigError: If the file is not a state dict with these keys and shapes.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"{OPTION}={path}: no such file. {remedy}") from None
    except Exception as error:
        raise ConfigError(
            f"{OPTION}={path}: not a readable PyTorch state dict ({_first_line(error)}). {remedy}"
        ) from error
    found = {}
    for key, tensor in wanted.items():
        value = state.get(key) if isinstance(state, dict) else None
        if not isinstance(value, Tensor) or value.shape != tensor.shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else "nothing"
            raise ConfigError(
                f"{OPTION}={path}: key {key!r} holds {shape}, {network} needs "
                f"{tuple(tensor.shape)}. {remedy}"
            )
        found[key] = value
    return found


def official_file(folder: Path, url: str, digest: str, network: str) -> Path:
    """A published state dict in the folder, checked; downloaded if it is not there, or damaged.

    Args:
        folder: Where the file is kept.
        url: Where it is downloaded from.
        digest: SHA-256 of the file, or how it begins.
        network: What messages call the network.

    Raises:
        BenchError: If it cannot be downloaded, or its SHA-256 is another.
    """
    path = folder / Path(url).name
    if path.exists():
        if file_digest(path).startswith(digest):
            return path
        print(f"{path}: is damaged (its SHA-256 is not {digest}…); the suite downloads it again")
    folder.mkdir(parents=True, exist_ok=True)
    remedy = f"Download {url} elsewhere and pass {OPTION}=FILE."
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise BenchError(
            f"The state dict of {network} cannot be downloaded from {url} ({error}). {remedy}"
        ) from error
    except RuntimeError as error:
        raise BenchError(
            f"The state dict of {network} from {url} is damaged: its SHA-256 does not begin with "
            f"{digest}. Try again. {remedy}"
        ) from error
    return path


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
