"""A run: what it is (`manifest`), what it leaves (`folder`), what plays in it (`assemble`)."""
