"""Second floor: float encoders, their pretraining, the students' networks, the bench, and the shipped weights."""
