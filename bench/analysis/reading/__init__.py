"""The store and the papers' values as pandas frames."""
