"""Top floor: the simulated watch and its faults, runtimes, emulated cores, parity gates, report and verifier."""
