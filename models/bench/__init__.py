"""What encoders are compared by: tasks, labels, hand-made intervals, intervals of confidence."""
