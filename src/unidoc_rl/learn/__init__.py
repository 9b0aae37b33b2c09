"""The ladder: does each level of the system teach more than the one below it? `ladder.py` climbs it."""
