"""The commands of `saccade demos`."""
