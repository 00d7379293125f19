"""A run: what it is (`manifest`), who holds it (`claim`), what it leaves (`folder`, `finished`)."""
