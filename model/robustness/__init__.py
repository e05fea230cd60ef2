"""How a model's score falls with fewer clips to learn from, and with what clips lack."""
