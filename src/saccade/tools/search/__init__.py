"""Searching: by words, by an image or a part of it, and reading a page whole."""
