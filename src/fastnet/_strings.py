"""Text of the user's, made into arrays of str: lists, NumPy's arrays of text, bytes and objects, columns of frames."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_strings", "as_values", "holds_strings", "list_of_strings"]

#: NumPy's kinds of arrays of text: fixed width, bytes, objects, variable width.
_KINDS = "USOT"


def holds_strings(given: Any) -> bool:
    """Whether data are text, as far as their first element that is not missing can tell."""
    if hasattr(given, "to_numpy") and not isinstance(given, np.ndarray):
        given = given.to_numpy()
    if isinstance(given, np.ndarray):
        if given.dtype.kind != "O":
            return given.dtype.kind in _KINDS
        return any(isinstance(one, (str, bytes)) for one in given.reshape(-1)[:1000].tolist())
    while isinstance(given, (list, tuple)) and given:
        given = next((one for one in given if one is not None), None)
    return isinstance(given, (str, bytes)) or (isinstance(given, np.ndarray) and holds_strings(given))


def as_strings(given: Any, name: str, encoding: str = "utf-8") -> np.ndarray:
    """Text as an array of str, of the dtype object; what is missing (None, NaN) is the empty string.

    Raises
    ------
    TypeError
        If there is something else than text.
    ValueError
        If it is ragged, or bytes are none of the encoding.
    """
    if hasattr(given, "to_numpy") and not isinstance(given, np.ndarray):
        given = given.to_numpy()
    if isinstance(given, np.ndarray):
        if given.dtype.kind not in _KINDS:
            raise TypeError(f"{name} has dtype {given.dtype}; expected text")
        array = given.astype(object)
    elif isinstance(given, (list, tuple, str, bytes)):
        try:
            array = np.array(given, dtype=object)
        except ValueError as error:
            raise ValueError(f"{name} cannot be made into an array: {error}") from None
    else:
        raise TypeError(
            f"{name} is no array but an object of type {type(given).__name__}; expected text: a list or an array of str"
        )
    flat = array.reshape(-1).tolist()
    kinds = set(map(type, flat))
    if kinds <= {str}:
        return array
    fixed = np.empty(len(flat), object)
    fixed[:] = [one if type(one) is str else _fixed(one, name, encoding) for one in flat]
    return fixed.reshape(array.shape)


def _fixed(one: Any, name: str, encoding: str) -> str:
    if isinstance(one, bytes):
        try:
            return one.decode(encoding)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} holds bytes that are not {encoding}: {error}") from None
    if isinstance(one, str):
        return str(one)
    if isinstance(one, (list, tuple, np.ndarray)):
        raise ValueError(f"{name} has rows of different lengths; expected an array of text")
    try:
        missing = one is None or type(one).__name__ == "NAType" or bool(one != one)
    except (TypeError, ValueError):
        missing = False
    if missing:
        return ""
    raise TypeError(f"{name} holds {one!r}, of type {type(one).__name__}; expected text")


def list_of_strings(array: np.ndarray) -> list[str]:
    """The strings of an array one after another."""
    found: list[str] = array.reshape(-1).tolist()
    return found


def as_values(given: Any) -> np.ndarray:
    """Any values as an array; lists of something else than numbers as objects."""
    if hasattr(given, "to_numpy"):
        return np.asarray(given.to_numpy())
    numbers = not isinstance(given, (list, tuple)) or all(type(one) in (int, float) for one in given)
    return np.asarray(given, None if numbers else object)
