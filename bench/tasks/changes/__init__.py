"""Changes between images that no deformation explains."""

from bench.tasks.changes.changes import Changes

__all__ = ["Changes"]
