"""Learning from trajectories: the stage is in `stage.py`."""
