"""Tasks and their rows."""
