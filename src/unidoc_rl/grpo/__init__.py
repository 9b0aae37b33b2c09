"""Learning from rewards: the stage is in `stage.py`."""
