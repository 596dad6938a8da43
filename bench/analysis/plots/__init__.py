"""Figures of a report, a file each; `bench.analysis.style` has what they share."""
