"""How answers are scored where several benchmarks score them in the same way."""
