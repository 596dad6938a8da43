"""Runs one experiment, or with -m a sweep: see `python run.py --help`."""

from bench.cli.starting import start

if __name__ == "__main__":
    start("bench.cli.app")
