"""What `saccade index` is made of."""
