"""A study: many recordings through the watch on Dask, their rows as Parquet, and what they add up to."""
