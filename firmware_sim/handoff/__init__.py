"""What is handed over, checked: the verifier of bundles."""
