"""Statistics of trajectories and their uncertainty; import them from the modules here."""
