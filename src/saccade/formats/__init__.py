"""Data files of others and our own, read and written in one place each."""
