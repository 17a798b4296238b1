"""Float encoders, and how their checkpoints are read."""
