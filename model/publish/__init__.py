"""Runs and features for others: a folder or a hub repository, each with its card."""
