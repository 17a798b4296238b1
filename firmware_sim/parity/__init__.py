"""What one run says: agreement, gates, memory, and the report of it."""
