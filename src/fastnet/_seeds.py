"""Seeds of models that are given none: of the operating system, or of the program's own once `set_random_seed` was called."""

from __future__ import annotations

import os

import numpy as np

__all__ = ["new_seed", "set_seed"]

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
