"""The commands that go from clips to cached features."""
