"""The keys of run files and the environment variables, read off what heeds them."""
