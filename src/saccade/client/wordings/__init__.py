"""What servers say in words: that a context is full, what they refuse, how long to wait."""
