"""One run: its identity, folder, claim, execution and record; loading its results."""
