"""The watch: sensor, faults, ring buffer, clock, and what it answers."""
