"""Synthesis: a network makes images, and it is asked what a metric in its loss is good for."""

from bench.tasks.synthesis.synthesis import Synthesis

__all__ = ["Synthesis"]
