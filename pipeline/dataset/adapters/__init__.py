"""Datasets as their public archives unpack: one file each, all of the same shape."""
