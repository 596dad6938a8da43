"""Preprocessed data sets as memory-mapped arrays."""
