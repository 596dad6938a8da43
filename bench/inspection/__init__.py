"""What trained runs and metrics look like."""
