"""Sweeps: their runs and statuses, the plan, further λ, the closing table."""
