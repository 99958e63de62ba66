"""Seeds as they are given, and those of models that are given none: of the operating system, or of the program's own once
`set_random_seed` was called."""

from __future__ import annotations

import operator
import os

import numpy as np

__all__ = ["checked_seed", "new_seed", "set_seed"]

#: What was set, and how many seeds have been drawn from it.
_state: list[int] | None = None


def set_seed(seed: int) -> None:
    """Makes the seeds that are drawn from now on functions of this one and their order."""
    global _state
    _state = [seed, 0]


def new_seed() -> int:
    """The next seed."""
    if _state is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    _state[1] += 1
    return int(np.random.SeedSequence(_state).generate_state(1, np.uint64)[0] >> np.uint64(1))


def checked_seed(seed: int | None, label: str = "", largest: int | None = None, wanted: str = "at least 0") -> int | None:
    """A seed as an int, or None.

    Parameters
    ----------
    seed : int or None
    label : str
        What messages begin with.
    largest : int, optional
    wanted : str
        The range in words.

    Raises
    ------
    TypeError
        Where it is no integer.
    ValueError
        Where it is out of the range.
    """
    if seed is None:
        return None
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(f"{label}seed must be an integer or None, got {seed!r}") from None
    if seed < 0 or (largest is not None and seed > largest):
        raise ValueError(f"{label}seed must be {wanted}, got {seed}")
    return seed
