"""How answers are scored, where several benchmarks do it alike."""
