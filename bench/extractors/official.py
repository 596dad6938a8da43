"""The official VGG-16 weights: where they are, what identifies them, how to get them."""

from pathlib import Path
from urllib.error import URLError

from bench.errors import BenchError

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
DIGEST = "397923af"  # how the SHA-256 of the official file begins; part of its name


def official_weights(folder: Path, url: str = URL) -> Path:
    """The official state dict in the folder, downloaded and checked if it is not there yet.

    Args:
        folder: Where the file is kept.
        url: Where it is downloaded from.

    Raises:
        BenchError: If it cannot be downloaded, or its SHA-256 is another.
    """
    import torch

    path = folder / Path(URL).name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    remedy = f"Download {URL} elsewhere and pass metric.weights=FILE."
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=DIGEST)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise BenchError(
            f"The VGG-16 weights cannot be downloaded from {url} ({error}). {remedy}"
        ) from error
    except RuntimeError as error:
        raise BenchError(
            f"The VGG-16 weights from {url} are damaged: their SHA-256 does not begin with "
            f"{DIGEST}. Try again. {remedy}"
        ) from error
    return path
