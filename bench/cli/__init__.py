"""The two command lines, `run.py` and `python -m bench`: one line per error, terminal tables."""
