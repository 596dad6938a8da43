"""Landmarks: points of a subject, their files, and what pairs of them must have in common."""
