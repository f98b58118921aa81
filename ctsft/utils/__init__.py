"""What everything else stands on: errors, files, units, statistics."""
