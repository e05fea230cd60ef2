"""What a model learns: one file a kind of target, with its loss and its metrics."""
