"""Folders of trained models."""
