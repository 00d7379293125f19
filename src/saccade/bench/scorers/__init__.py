"""Rules and scorers that several benchmarks share."""
