"""What `saccade check recipe` looks at."""
