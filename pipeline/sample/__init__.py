"""The built-in sample dataset: made footage, voices and sentences."""
