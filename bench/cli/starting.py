"""How both command lines start: with one line where Python or a package is not as needed."""

import sys
from importlib import import_module

NEEDED = (3, 11)  # the least version of Python


def start(module: str) -> None:
    """Calls `main` of a module of the suite.

    Args:
        module: Its name.

    Raises:
        SystemExit: With one line if Python is too old, or if a package that the suite needs is not
            installed.
    """
    if sys.version_info < NEEDED:
        sys.exit(f"Python {sys.version.split()[0]}: the suite needs 3.11 or later.")
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "bench":
            raise
        sys.exit(
            f"{error.name} is not installed for {sys.executable}. Activate the environment that "
            "has the suite (source .venv/bin/activate), or install it as README.md says."
        )
    main()
