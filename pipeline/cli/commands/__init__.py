"""The commands that make features, one file each, named after what a user types."""
