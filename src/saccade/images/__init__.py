"""Boxes, frames and sizes; image files, read without trust; images as they are shown."""
