"""Ready stages files, each with what is known of the features that it stands for."""
