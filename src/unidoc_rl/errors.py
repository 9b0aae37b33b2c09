"""The errors that are meant for the person at the keyboard."""


class UnidocError(Exception):
    """What happened, to which file or key, and what to do, in words; shown without a traceback."""


class Away(UnidocError):
    """A server that is needed cannot be reached or used; later it may be."""


class Abandoned(UnidocError):
    """Nobody waits any more for what is being done."""
