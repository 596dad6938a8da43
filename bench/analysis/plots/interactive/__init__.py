"""Plots of the page that answer the pointer; the figures beside the page show the same."""
