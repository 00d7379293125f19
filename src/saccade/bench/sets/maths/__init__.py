"""Mathematics with pictures."""
