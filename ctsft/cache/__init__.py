"""Computed answers kept on disk."""
