"""Weights of networks: found, fetched, read and digested."""
