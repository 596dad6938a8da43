"""Registration of pairs."""
