"""Where a call of `fit` stands: what callbacks and checkpoints look at, and steps move on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._fit_options import Arrays, FitOptions
    from ._progress import Progress
    from .custom import CustomLoop
    from .history import History
    from .optimizers import Optimizer

__all__ = ["EpochState", "FitState"]


class EpochState(_core.Position):
    """How far an epoch has come: rows, sums and squared_norm are counted in the moment in which steps are made.

    Attributes
    ----------
    order : int
        Which shuffle it visits the rows by.
    row : int
        Rows done of those at hand.
    rows, batch : int
        Rows and batches done.
    rows_before, batches_before : int
        Of the epoch, before those at hand, where data come one part after another; where these began in the epoch before, negative.
    totals, sums : ndarray
        Sums of the losses and accumulators of the metrics so far.
    squared_norm : float
        Sum of the squared norms of the gradients.
    first_update : int
        Steps of the optimizer before the epoch.
    seconds : float
        How long it took before training was interrupted and resumed.
    """

    def __init__(
        self,
        order: int,
        totals: np.ndarray,
        sums: np.ndarray,
        first_update: int,
        batch_size: int,
        row: int = 0,
        squared_norm: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        self.order, self.row, self.batch_size = order, row, batch_size
        self.rows_before = self.batches_before = 0
        self.totals, self.sums = totals, sums
        self.squared_norm, self.first_update = squared_norm, first_update
        self.started = time.perf_counter() - seconds

    @property
    def rows(self) -> int:
        return self.rows_before + self.row

    @property
    def batch(self) -> int:
        return self.batches_before + math.ceil(self.row / self.batch_size)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.started


class FitState:
    """One call of `fit`, its arguments checked; `Fit` has the loop.

    Attributes
    ----------
    model : CustomLoop
    options : FitOptions
    data : tuple of list
        Inputs, targets and weights of the rows to train with.
    validation : tuple of list, Feed or None
        The same three of the rows held out, or batches of such.
    n_rows : int
        Rows to train with now: of the epoch, or where data come one part after another of that part.
    steps : int or None
        Batches of an epoch; None: that is not known.
    capacity : int
        Rows of a batch for which plans are made.
    compiled : Compiled
        With the metrics that suit the targets.
    epoch, first_epoch : int
    state : EpochState or None
        Of the epoch begun and not ended.
    logs : dict
        Of the epoch so far.
    """

    model: CustomLoop
    options: FitOptions
    data: Arrays
    validation: Any
    n_rows: int
    steps: Any
    capacity: int
    compiled: Compiled
    optimizer: Optimizer
    history: History
    progress: Progress
    callbacks: Any
    stepper: Any
    epoch: int
    first_epoch: int
    state: EpochState | None
    logs: dict[str, Any]

    def batches_at_hand(self, state: EpochState) -> int:
        """Batches left of the rows to train with now."""
        return math.ceil((self.n_rows - state.row) / self.options.batch_size)

    #: Writes an epoch down and tells who asked.
    end_epoch: Callable[[EpochState, dict[str, Any], float, int, float], None]
    #: Epochs that may be made one after another, the present one included.
    epochs_at_once: Callable[[], int]
    #: What must be the same of the data in a call that goes on with this one, or is made together with it.
    arguments: Callable[[], dict[str, Any]]
