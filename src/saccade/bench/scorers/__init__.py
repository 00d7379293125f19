"""What benchmarks share to score: groups of attempts, and published scorers restated."""
