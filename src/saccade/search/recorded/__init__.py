"""Searches that were recorded: what an engine found once, found again for ever."""
