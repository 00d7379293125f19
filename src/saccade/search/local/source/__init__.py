"""What an index is built from."""
