"""Shapes of students: which there are, what each costs on the device, and which are worth training."""
