"""Small things in large photographs."""
