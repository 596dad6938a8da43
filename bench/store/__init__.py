"""Results on disk, checkpoints, environment and tracking."""
