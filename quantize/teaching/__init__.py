"""What students are taught with: watch-like versions of recordings, teacher embeddings, labels."""
