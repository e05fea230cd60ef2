"""Cached features as models read them."""
