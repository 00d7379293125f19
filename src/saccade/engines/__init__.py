"""The environment inside of other people's engines, one folder each."""
