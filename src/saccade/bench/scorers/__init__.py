"""What several benchmarks score in the same way."""
