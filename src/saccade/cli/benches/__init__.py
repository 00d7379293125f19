"""What `saccade bench` does beside a plain run."""
