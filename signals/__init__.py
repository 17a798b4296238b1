"""Ground floor: recordings of people, read, cleaned, cut and split."""
