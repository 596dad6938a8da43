"""Composition, checks, building of objects, identity."""
