"""Runs one experiment, or with -m a sweep: see `python run.py --help`."""

from bench.cli.app import main

if __name__ == "__main__":
    main()
