"""The demonstration world: the stage is in `stage.py`."""
