"""Numbers of a report: comparisons, choice of λ, statistics."""
