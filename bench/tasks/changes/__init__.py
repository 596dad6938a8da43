"""Changes between images that no deformation explains."""

from bench.tasks.changes.changes import Changes
from bench.tasks.changes.job import ChangesJob, untested_job

__all__ = ["Changes", "ChangesJob", "untested_job"]
