"""Prepares for what terminals, notebooks and containers may lack."""

import codecs
import os
import sys
import tempfile
from typing import IO

PLAIN = {"λ": "lambda", "±": "+-", "–": "-", "−": "-", "…": "...", "≈": "~", "Δ": "D", "χ": "chi"}
PLAIN |= {"²": "2", "→": "->", "↑": "^", "↓": "v", "µ": "u", "μ": "u", "≤": "<=", "≥": ">="}
USERS = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python looks for the name of the user
FILES_ONLY = "agg"  # matplotlib's backend, which draws into files


def prepare_surroundings() -> None:
    """Lets commands write to any terminal, draw without a window, and run as an unknown user."""
    os.environ["MPLBACKEND"] = FILES_ONLY  # a notebook's exists in its kernel only
    _name_user()
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        _accept_all(stream)


def _name_user() -> None:
    """Names a user that no list of users has, as in a container under `--user`."""
    if sys.platform == "win32":
        return
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(os.environ.get(name) for name in USERS):
            os.environ["USER"] = f"user{os.getuid()}"
        if not os.environ.get("HOME"):
            os.environ["HOME"] = tempfile.gettempdir()


def _accept_all(stream: IO[str]) -> None:
    """Writes characters that the encoding of a stream lacks in other letters."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lacking), error.end
