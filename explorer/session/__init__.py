"""One session's choices, and what is computed for them."""
