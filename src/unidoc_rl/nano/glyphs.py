"""Which letter stands where: what the vision tower learns first.

Every visual token is a square of 28 pixels, cut into places of 3.5 by 7 pixels; each place holds the letter whose
middle lies in it, or none. To learn that is local and dense: each place of each picture teaches something. A middle
close to an edge may be seen on either side of it: nobody reads by fractions of a pixel.

That is what patches learn. The token that is made of four of them learns its letters one after the other: who reads
aloud says what comes next, wherever in the token it stands.
"""

from __future__ import annotations

import string
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unidoc_rl.nano.model import MERGE, TOKEN
from unidoc_rl.nano.pages import DrawnPage

ACROSS, DOWN = 8, 4  # places of a token, even numbers: a token is made of two patches by two
CLOSE = 0.25  # of a place
PLACES = ACROSS * DOWN
TURNS = 6  # letters that a token tells one after the other; print that has more in a token is hard to read
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
    at = np.floor(_middles(page, cut, across, down)).astype(int)
    return np.where(_inside(at, across, down), at[:, 1] * across + at[:, 0], NOWHERE)


def glyphs(page: DrawnPage, cut: Rectangle, width: int, height: int) -> NDArray[np.int64]:
    """(tokens, PLACES): the letters of a part of a page, shown at this size."""
    across, down = width // TOKEN * ACROSS, height // TOKEN * DOWN  # places
    places = np.full((down, across), EMPTY)
    middles = _middles(page, cut, across, down)
    for near in product((-CLOSE, 0, CLOSE), repeat=2):
        at = np.floor(middles + near).astype(int)
        at = at[_inside(at, across, down)]
        places[at[:, 1], at[:, 0]] = UNKNOWN
    at = np.floor(middles).astype(int)
    for letter in np.flatnonzero(_inside(at, across, down)):
        places[at[letter, 1], at[letter, 0]] = class_of(page.letters[letter])
    places[_pictured(page, cut, across, down)] = UNKNOWN
    tokens = places.reshape(down // DOWN, DOWN, across // ACROSS, ACROSS).swapaxes(1, 2)
    return tokens.reshape(-1, PLACES)


def in_order(page: DrawnPage, cut: Rectangle, width: int, height: int) -> NDArray[np.int64]:
    """(tokens, TURNS): the letters of each token as they are read."""
    across, down = width // TOKEN, height // TOKEN
    where = squares(page, cut, width, height)
    by_token = np.argsort(where, kind="stable")  # a page's letters are in the order of reading
    by_token = by_token[where[by_token] != NOWHERE]
    tokens = where[by_token]
    turns = np.arange(len(tokens)) - np.searchsorted(tokens, tokens)
    told = np.full((across * down, TURNS), EMPTY)
    for letter, token, turn in zip(by_token, tokens, turns, strict=True):
        if turn < TURNS:
            told[token, turn] = class_of(page.letters[letter])
    told[_pictured(page, cut, across, down).ravel()] = UNKNOWN  # whose turn it is, too
    return told


def of_patches(glyphs: Tensor) -> Tensor:
    """(tokens, PLACES) as (patches, places): those of a token one after the other, line by line."""
    down, across = DOWN // MERGE, ACROSS // MERGE
    return glyphs.view(-1, MERGE, down, MERGE, across).transpose(2, 3).reshape(-1, down * across)


def _middles(page: DrawnPage, cut: Rectangle, across: int, down: int) -> NDArray[np.float64]:
    """Of each letter, where a part of the page is so many across and down."""
    left, top, right, bottom = cut
    middles = (page.places[:, :2] + page.places[:, 2:]) / 2
    return (middles - [left, top]) * [across / (right - left), down / (bottom - top)]


def _pictured(page: DrawnPage, cut: Rectangle, across: int, down: int) -> NDArray[np.bool_]:
    """(down, across): where letters may stand that the page does not tell of."""
    there = np.zeros((down, across), dtype=bool)
    left, top, right, bottom = cut
    scale = np.array([across / (right - left), down / (bottom - top)])
    for picture in page.pictures:
        x1, y1 = np.maximum(np.floor((picture[:2] - [left, top]) * scale), 0).astype(int)
        x2, y2 = np.maximum(np.ceil((picture[2:] - [left, top]) * scale), 0).astype(int)
        there[y1:y2, x1:x2] = True
    return there


def _inside(at: NDArray[np.int64], across: int, down: int) -> NDArray[np.bool_]:
    """Which of these columns and rows there are."""
    return np.asarray(((at >= 0) & (at < [across, down])).all(axis=1))
