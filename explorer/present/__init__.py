"""Present: one picture at a time, large, on the whole screen."""
