"""Second floor: float encoders, their pretraining, probes and shipped weights."""
