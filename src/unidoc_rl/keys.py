"""Keys to servers, which variables carry."""

from __future__ import annotations

import os

from unidoc_rl.errors import UnidocError


def key(variable: str) -> str:
    """Without the end of a line, which a secret that is made of a file has."""
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):  # the error of a header that cannot be sent would show it
        raise UnidocError(f"{variable}: holds characters that no key has; set it again")
    return value
