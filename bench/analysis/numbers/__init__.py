"""What a report computes from rows: comparisons, choice of λ, statistics."""
