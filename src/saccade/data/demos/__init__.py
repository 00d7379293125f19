"""Demonstrations to learn from: how they are made, and read and written in formats of others."""
