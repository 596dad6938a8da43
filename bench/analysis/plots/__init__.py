"""Figures of a report, a file each; `bench.analysis.plots.style` has what they share."""
