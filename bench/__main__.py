"""Entry point of `python -m bench`."""

from bench.cli.starting import start

if __name__ == "__main__":
    start("bench.cli.commands")
