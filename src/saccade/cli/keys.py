"""`saccade keys`: the keys of run files."""


def keys() -> None:
    """Look up the keys of run files, and environment variables."""
