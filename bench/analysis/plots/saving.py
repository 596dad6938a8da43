"""Figures on disk: the former one or the new one, whole."""

import io
from pathlib import Path
from typing import Any

from bench.store.files import write_atomically


def write_figure(figure: Any, path: Path, **options: Any) -> None:
    """Writes a figure by `write_atomically`.

    Args:
        figure: A matplotlib figure.
        path: Where; its suffix is the format.
        options: Of `savefig`.
    """
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], **options)
    write_atomically(path, content.getvalue())
