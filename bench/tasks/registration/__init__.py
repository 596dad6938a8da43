"""Registration of pairs."""

from bench.tasks.registration.registration import Registration

__all__ = ["Registration"]
