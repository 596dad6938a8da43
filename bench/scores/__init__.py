"""Scores: measurements on a test case."""
