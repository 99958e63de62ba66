"""What makes the steps of `fit`: what all of them have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._sparse_rows import packed_sizes

if TYPE_CHECKING:
    from ._fit_options import Arrays
    from ._fit_state import EpochState, FitState
    from .data.feed import Feed

__all__ = ["SLICE_SECONDS", "Stepper"]

#: Python gets control back this often while the engine trains: for the progress bar and Ctrl-C.
SLICE_SECONDS = 0.05


class Stepper:
    """Makes the steps of one call of `fit`, which it is told each time: it keeps nothing of it alive."""

    #: The kind of plans whose updates it makes, and whether they are for exactly the rows of a batch.
    kind, exact = "train", True
    #: Into how many pieces each batch is divided, where results depend on it.
    pieces: int | None = None

    def begin(self, fit: FitState) -> None:
        """Before the first step."""

    def end(self, error: BaseException | None = None) -> None:
        """After the last step, or where an error ends the training."""

    def agree_to_stop(self, fit: FitState) -> None:
        """After an epoch: decides whether there is to be another one, where others have a say in it."""

    def validate(self, fit: FitState, arrays: Arrays, batch_size: int | None) -> dict[str, Any]:
        """The loss and the metrics of rows held out."""
        return fit.model._evaluate(*arrays, batch_size, fit.optimizer.batches, fit.callbacks)

    def validate_feed(self, fit: FitState, feed: Feed) -> dict[str, Any]:
        """The same of batches held out."""
        from ._streams import evaluate_feed

        return evaluate_feed(fit.model, feed, fit.options.validation_steps, fit.optimizer.batches, fit.callbacks)

    def rows(self, fit: FitState) -> int:
        """How many a step takes."""
        return fit.options.batch_size

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        """At most so many steps, and for about `SLICE_SECONDS`; the state may be that of a later epoch afterwards."""
        raise NotImplementedError

    def details(self, fit: FitState) -> list[str]:
        """The names of what `describe_updates` says."""
        return ["learning_rate", "gradient_norm"]

    def settle(self, fit: FitState) -> None:
        """Ends the epochs that are over, where a run was interrupted before it could say so."""

    def describe_updates(self, fit: FitState, state: EpochState, squared_norm: float, iterations: int) -> dict[str, Any]:
        """What the logs of an epoch say of its updates, whose squared norms add up to so much, and which are the last of so many."""
        updates = iterations - state.first_update
        return {
            "learning_rate": fit.optimizer.last_learning_rate(iterations),
            "gradient_norm": math.sqrt(squared_norm / updates) if updates else None,
        }

    def flush(self, fit: FitState) -> None:
        """Makes a step with the gradients that have been accumulated, where some are left."""
        left = -fit.optimizer.batches % (fit.optimizer.gradient_accumulation_steps or 1)
        if left:
            plan = fit.model._plans.get(self.kind, fit.capacity, self.exact, packed_sizes(fit.data[0]))
            hyper = fit.model._plans.hyper(1)
            with fit.model._slab.gate.writing():
                fit.model._make_steps(plan, _core.UPDATE | _core.FLUSH, n_rows=1, batch_size=1, hyper=hyper, counts=left)
