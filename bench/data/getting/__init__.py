"""Downloads, archives, and putting a public data set in place."""
