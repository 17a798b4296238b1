"""Ground floor: recordings of people, read, cleaned, cut and split, and the watch's front end."""
