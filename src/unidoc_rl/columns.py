"""Columns of a table, from what Python holds.

`pa.array` would make them too, after importing pandas where that is installed, which takes most of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa


def numbers(values: Any, kind: type[np.number]) -> pa.Array:
    """Of a list, or of an array."""
    array = np.ascontiguousarray(values, kind)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def texts(values: Iterable[str]) -> pa.Array:
    encoded = [value.encode() for value in values]
    buffers = [None, _offsets(map(len, encoded)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def records(fields: Mapping[str, pa.Array]) -> pa.Array:
    """Each with a value of every field."""
    kind = pa.struct([(name, column.type) for name, column in fields.items()])
    length = len(next(iter(fields.values())))
    return pa.Array.from_buffers(kind, length, [None], children=list(fields.values()))


def lists(lengths: Sequence[int], values: pa.Array) -> pa.Array:
    """The values in lists of these lengths, one behind the other."""
    return pa.Array.from_buffers(pa.list_(values.type), len(lengths), [None, _offsets(lengths)], children=[values])


def _offsets(lengths: Iterable[int]) -> pa.Buffer:
    return pa.py_buffer(np.fromiter(accumulate(lengths, initial=0), np.int32))
