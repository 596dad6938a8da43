"""A benchmark suite for similarity metrics in learned image registration."""

__version__ = "0.1.0"
