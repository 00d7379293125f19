"""What `saccade attack` and `saccade detect` measure on a classifier."""
