"""Which letter stands where: what the vision tower learns first.

Every visual token is a square of 28 pixels, cut into places of 4 by 7 pixels; each place holds the letter whose middle
lies in it, or none. To learn that is local and dense: each place of each picture teaches something.
"""

from __future__ import annotations

import string

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.nano.model import TOKEN
from unidoc_rl.nano.pages import DrawnPage

ACROSS, DOWN = 7, 4  # places of a token
PLACES = ACROSS * DOWN
_LETTERS = string.digits + string.ascii_letters + string.punctuation + "·–—“”‘’•€£"
EMPTY, OTHER = 0, len(_LETTERS) + 1
CLASSES = OTHER + 1
UNKNOWN = -100  # what a loss leaves out
NOWHERE = -1
_CLASS_OF = {letter: number for number, letter in enumerate(_LETTERS, start=1)}

Rectangle = tuple[int, int, int, int]  # pixels of a page


def class_of(letter: str) -> int:
    return _CLASS_OF.get(letter, OTHER)


def squares(page: DrawnPage, cut: Rectangle, width: int, height: int) -> NDArray[np.int64]:
    """Of each letter of the page, the visual token in which its middle lies; NOWHERE, where none of this picture."""
    across, down = width // TOKEN, height // TOKEN
    at, inside = _at(page, cut, across, down)
    return np.where(inside, at[:, 1] * across + at[:, 0], NOWHERE)


def glyphs(page: DrawnPage, cut: Rectangle, width: int, height: int) -> NDArray[np.int64]:
    """(tokens, PLACES): the letters of a part of a page, shown at this size."""
    across, down = width // TOKEN * ACROSS, height // TOKEN * DOWN  # places
    places = np.full((down, across), EMPTY)
    at, inside = _at(page, cut, across, down)
    for letter in np.flatnonzero(inside):
        places[at[letter, 1], at[letter, 0]] = class_of(page.letters[letter])
    left, top, right, bottom = cut
    scale = np.array([across / (right - left), down / (bottom - top)])
    for picture in page.pictures:
        x1, y1 = np.maximum(np.floor((picture[:2] - [left, top]) * scale), 0).astype(int)
        x2, y2 = np.maximum(np.ceil((picture[2:] - [left, top]) * scale), 0).astype(int)
        places[y1:y2, x1:x2] = UNKNOWN
    tokens = places.reshape(down // DOWN, DOWN, across // ACROSS, ACROSS).swapaxes(1, 2)
    return tokens.reshape(-1, PLACES)


def _at(page: DrawnPage, cut: Rectangle, across: int, down: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Column and row of each letter's middle, where a part of the page is so many across and down; and who is in it."""
    left, top, right, bottom = cut
    middle = (page.places[:, :2] + page.places[:, 2:]) / 2
    at = np.floor((middle - [left, top]) * [across / (right - left), down / (bottom - top)]).astype(int)
    return at, np.logical_and.reduce((at >= 0) & (at < [across, down]), axis=1)
