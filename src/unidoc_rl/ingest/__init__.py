"""Documents to a corpus of pages: the stage is in `stage.py`. Nothing is imported here: a worker starts in a second."""
