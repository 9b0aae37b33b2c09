"""The stage `curate`: questions to trajectories that are worth learning from."""
