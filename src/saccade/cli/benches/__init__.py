"""What `saccade bench` is made of."""
