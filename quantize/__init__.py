"""Third floor: from a float encoder to a streaming student in integers."""
