"""Training an encoder with the model."""
