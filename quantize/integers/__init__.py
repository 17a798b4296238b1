"""The student under fake quantisation, and the same in the firmware's own arithmetic."""
