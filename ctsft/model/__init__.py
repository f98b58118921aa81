"""Models as the method sees them: blocks, heads, one forward pass."""
