"""Questions with options of all kinds, and those with yes or no."""
