"""Copies of a model's weights, for threads that predict while another one trains."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._weights import aligned_zeros

if TYPE_CHECKING:
    from ._weights import Slab, Weight

__all__ = ["Snapshot"]

_NUMBERS = itertools.count(1)


class Snapshot:
    """The weights as they were after a step.

    Attributes
    ----------
    slab : Slab
        Whose weights they are.
    step : int
        See `Gate.steps`.
    trained, used : ndarray
        As large as the slab: the weights, and what predictions compute with, averages where the optimizer keeps them.
    number : int
        Another one for each.
    """

    def __init__(self, slab: Slab, averages: Mapping[Weight, np.ndarray]) -> None:
        self.slab = slab
        self.step, self.number = self.slab.gate.steps, next(_NUMBERS)
        self.trained = self.used = self._copy(self.slab)
        if averages:
            self.used = self._copy(self.slab)
            for weight, average in averages.items():
                weight.view_of(self.used)[...] = average
        self.renewed = False  # the next one has been asked for

    @staticmethod
    def _copy(slab: Slab) -> np.ndarray:
        values = aligned_zeros(slab.size, slab.dtype)
        values[...] = slab.values
        return values

    def trained_value(self, weight: Weight) -> np.ndarray:
        """The trained numbers of a weight."""
        return weight.view_of(self.trained)

    def used_value(self, weight: Weight) -> np.ndarray:
        """The numbers of a weight that predictions compute with."""
        return weight.view_of(self.used)
