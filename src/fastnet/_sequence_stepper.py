"""How the steps of `fit` are made that consist of several updates, and what is said of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._stepper import SLICE_SECONDS, Stepper

if TYPE_CHECKING:
    from ._fit_state import EpochState, FitState

__all__ = ["SequenceStepper"]


class SequenceStepper(Stepper):
    """Batches in the engine, each by several plans one after another: those of a `TrainStep`."""

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        left = fit.batches_at_hand(state)
        steps = min(steps or left, left)
        with fit.model._slab.gate.writing():
            fit.model._run_updates(
                fit.data[0],
                steps,
                batch_size=fit.options.batch_size,
                capacity=fit.capacity,
                n_rows=fit.n_rows,
                first_row=state.row,
                order=order,
                seconds=SLICE_SECONDS,
                totals=state.totals,
                squares=state.sums,
                position=state,
            )

    def flush(self, fit: FitState) -> None:
        with fit.model._slab.gate.writing():
            for update in {id(one.optimizer): one for one in fit.model.updates}.values():
                optimizer = update.optimizer
                left = -optimizer.batches % (optimizer.gradient_accumulation_steps or 1)
                if left:
                    plan, hyper = update._plans.get("train", fit.capacity), update._plans.hyper(1)
                    counter = optimizer.counter
                    phases = _core.UPDATE | _core.FLUSH
                    plan.run(phases, n_rows=1, batch_size=1, step=counter.batches, hyper=hyper, counter=counter, counts=left)

    def details(self, fit: FitState) -> list[str]:
        return [f"{prefix}{what}" for prefix in _prefixes(fit) for what in ("learning_rate", "gradient_norm")]

    def describe_updates(self, fit: FitState, state: EpochState, squared_norm: float, iterations: int) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        for update, prefix, squares in zip(fit.model.updates, _prefixes(fit), state.sums):
            optimizer, batches = update.optimizer, fit.optimizer.batches
            made = batches // update.every - (batches - state.batch) // update.every
            done = optimizer.iterations - optimizer.iterations_after(optimizer.batches - made)
            logs[f"{prefix}learning_rate"] = optimizer.last_learning_rate(optimizer.iterations)
            logs[f"{prefix}gradient_norm"] = math.sqrt(squares / done) if done > 0 else None
        return logs


def _prefixes(fit: FitState) -> list[str]:
    """What the rate and the gradient of each update are called by."""
    return [""] if fit.compiled.one_update else [f"{update.name}_" for update in fit.model.updates]
