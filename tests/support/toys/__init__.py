"""Extractors small enough to see through, for tests of the runner."""
