"""Many tuning runs from one design, and their tables."""
