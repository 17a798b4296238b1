"""What a recording is, and every file format that one can be read from."""
