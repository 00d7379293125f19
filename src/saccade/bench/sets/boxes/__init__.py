"""Boxes around what an expression describes."""
