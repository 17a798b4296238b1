"""Top floor: the simulated watch, its runtimes, parity gates and report."""
