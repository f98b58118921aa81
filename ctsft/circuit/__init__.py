"""Circuits: sets of heads, how each came in, and whether the set is enough."""
