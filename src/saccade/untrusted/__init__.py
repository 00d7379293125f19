"""What others wrote, read without trust: texts, values, checkpoints; and our keys kept from it."""
