"""The files of an index, and how they change."""
