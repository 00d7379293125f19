"""What `saccade attack` measures on an agent."""
