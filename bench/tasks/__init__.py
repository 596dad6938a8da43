"""What a run trains and tests, a package per task."""
