"""Saccade: vision-language agents that look, zoom in, and look again."""
