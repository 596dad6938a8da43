"""Perception: whether a metric orders images rightly whose order is known."""

from bench.tasks.perception.perception import Perception

__all__ = ["Perception"]
