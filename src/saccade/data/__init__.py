"""Training data: which questions are worth learning from."""
