"""The commands that make models, one file each, named after what a user types."""
