"""Landmarks: points of a subject, their files, and checks that pairs correspond."""
