"""Training the encoder behind a modality together with the model."""
