"""Servers: so far the sandbox."""
