"""The nano model: a document VLM small enough to train on a laptop."""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("weights")  # the policy that comes with this package
