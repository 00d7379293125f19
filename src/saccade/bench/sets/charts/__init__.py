"""Charts, and text in pictures."""
