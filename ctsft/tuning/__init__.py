"""Masked fine-tuning: what is trained, how, and what it changed."""
