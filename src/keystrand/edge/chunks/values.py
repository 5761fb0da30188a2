"""Arguments and results of chunks as data: MessagePack of typed values, and of NumPy arrays of plain numbers.

What a reader makes of the bytes depends on the type it asks for alone, so nothing on a disk can run anything.
"""

from typing import Any, get_origin

import msgspec
import numpy as np

_PLAIN = "biufc"
"""Kinds of NumPy types that are numbers. An array of objects is none: reading it would take pickle."""


def encode(value: object) -> bytes:
    """Return `value` as bytes, the same for equal values. Raises `TypeError` where it is not data."""
    return msgspec.msgpack.encode(value, enc_hook=_plain, order="deterministic")


def decode(content: bytes, kind: Any) -> Any:
    """Return the value of type `kind` in `content`. Raises `ValueError`, and `TypeError` where no data can be such."""
    return msgspec.msgpack.decode(content, type=kind, dec_hook=_typed)


def _plain(value: object) -> object:
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in _PLAIN:
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(f"a value of type {type(value).__name__} is not data")


def _typed(kind: Any, value: object) -> object:
    if np.ndarray not in (kind, get_origin(kind)):
        raise NotImplementedError(f"data cannot be of type {kind}")
    dtype, shape, content = msgspec.convert(value, tuple[str, tuple[int, ...], bytes])
    if np.dtype(dtype).kind not in _PLAIN:
        raise ValueError(f"an array of {dtype} is not one of numbers")
    return np.frombuffer(content, dtype).reshape(shape).copy()
