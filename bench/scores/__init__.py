"""Scores: what is measured on a test case."""
