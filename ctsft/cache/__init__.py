"""Stored results of computations."""
