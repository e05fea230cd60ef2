"""What makes a training step fast on a CPU."""
