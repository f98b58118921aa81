"""What all other packages use: errors, files, units, statistics."""
