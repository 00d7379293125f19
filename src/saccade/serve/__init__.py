"""Servers: so far a script behind a chat endpoint, for tests and demonstrations."""
