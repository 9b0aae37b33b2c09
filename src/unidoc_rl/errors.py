"""The one error that is meant for the person at the keyboard."""


class UnidocError(Exception):
    """What happened, to which file or key, and what to do, in words; shown without a traceback."""
