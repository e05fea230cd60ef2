"""How a model's score falls with fewer clips to learn from, with what clips lack, and noise."""
