"""Predictions by a trained model."""
