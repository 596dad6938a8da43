"""Pictures of trained runs and metrics."""
