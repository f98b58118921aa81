"""The long jobs, each with its request, its progress and its result files."""
