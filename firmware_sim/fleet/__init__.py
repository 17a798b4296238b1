"""Watches in the field: what they count about what their model sees, held against what it was made for."""
