"""One student against another on held-out people."""
