"""A corpus of bad and odd clips, made by code: how they are made, and what becomes of each."""
