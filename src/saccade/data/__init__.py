"""Training data: which questions reinforcement learning can learn from."""
