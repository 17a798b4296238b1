"""The student's network, as a window and as one hop of a stream."""
