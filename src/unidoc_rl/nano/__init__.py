"""The nano model: a document VLM small enough to train on a laptop."""
