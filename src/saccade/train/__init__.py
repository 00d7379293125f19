"""Training on existing engines: TRL optimises, the trajectory and its renderer are ours."""
