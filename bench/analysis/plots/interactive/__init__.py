"""Interactive plots of the page; the figures beside the page show the same."""
