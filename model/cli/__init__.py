"""The commands that go from cached features to results."""
