"""What is handed over: every form of a student, its contract, the encoder itself."""
