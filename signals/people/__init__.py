"""Who is who: splits by person, and cohorts of recordings cut into labelled windows."""
