"""Searches for a model's settings, on validation alone."""
