"""What `saccade bench` is made of: its run file, its progress, its result, its smaller commands."""
