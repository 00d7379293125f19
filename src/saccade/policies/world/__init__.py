"""A rule that solves questions of the procedural world with the ordinary tools."""
