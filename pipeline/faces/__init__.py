"""Faces: detected, followed, judged and aligned."""
