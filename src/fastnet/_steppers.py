"""How the steps of `fit` are made: in the engine, with losses that are Python functions, or with all rows at once."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._custom_losses import judge_rows
from ._sequence_stepper import SequenceStepper
from ._sparse_rows import as_numbers, packed_sizes
from ._stepper import SLICE_SECONDS, Stepper
from ._weight_functions import penalty_and_gradient

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._fit_state import EpochState, FitState
    from .distribution import DataParallel

__all__ = ["SLICE_STEPS", "TRAIN", "make_stepper"]

_GRADIENT = _core.FORWARD | _core.LOSS | _core.BACKWARD
#: A whole step of training.
TRAIN = _GRADIENT | _core.UPDATE

#: Steps for which a varying learning rate is computed at once.
SLICE_STEPS = 1024


class EngineStepper(Stepper):
    """Whole epochs in the engine, several where nobody is to be called in between."""

    def __init__(self) -> None:
        self._ended: tuple[Any, ...] = ()  # what `settle` goes through

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        left = fit.batches_at_hand(state)
        steps, epochs = min(steps or left, left), fit.epochs_at_once()
        with fit.model._slab.gate.writing():
            self._train(fit, state, order, steps, epochs)

    def _train(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int, epochs: int) -> None:
        """As `run`, while no other thread writes; at most so many epochs, the present one included."""
        inputs, targets, weights = fit.data
        left = fit.batches_at_hand(state)
        plan = fit.model._plans.get("train", fit.capacity, pairs=packed_sizes(inputs))
        ahead = steps if epochs == 1 else steps + (epochs - 1) * fit.steps
        hyper = fit.model._plans.hyper(min(ahead, SLICE_STEPS))
        if hyper.ndim == 2:  # they vary from step to step
            steps, epochs = min(steps, len(hyper)), min(epochs, 1 + max(0, len(hyper) - left) // (fit.steps or 1))
        end = min(fit.n_rows, state.row + steps * fit.options.batch_size)
        outputs = fit.model._new_outputs(fit.n_rows) if fit.compiled.takes_outputs else None
        first = state.row
        epoch_results = np.empty((epochs - 1, len(state.totals) + len(state.sums) + 2))
        self._ended = epoch_results, fit.epoch, fit.optimizer.batches + left, time.perf_counter()
        try:
            fit.model._make_steps(
                plan,
                TRAIN if outputs is None else TRAIN | _core.FETCH,
                n_rows=end,
                first_row=first,
                batch_size=fit.options.batch_size,
                outputs=outputs,
                inputs=as_numbers(inputs),
                targets=targets,
                weights=weights,
                order=order,
                epochs=epochs,
                shuffle=(fit.model.seed, state.order) if fit.options.shuffle else None,
                hyper=hyper,
                mixup=fit.options.mixup,
                cutmix=fit.options.cutmix,
                seconds=SLICE_SECONDS,
                loss_sum=state.totals,
                metrics=state.sums,
                gradient_squares=state.squared_norm,
                epoch_results=epoch_results,
                position=state,
            )
        finally:
            if outputs is not None:
                done = range(first, state.row, fit.options.batch_size)
                judge_rows(fit.compiled, targets, outputs, state.sums, done, order)
            self.settle(fit)

    def settle(self, fit: FitState) -> None:
        """Ends the epochs after which the engine went on with another, and makes the state that of the last one.

        Where it has been interrupted, it goes on with the epoch that it was at.
        """
        state = fit.state
        while state is not None and state.epochs:
            epoch_results, first, batches, start = self._ended
            n, results = len(state.totals), epoch_results[fit.epoch - first]
            squared_norm, seconds = results[-2:].tolist()
            updates, end = fit.optimizer.iterations_after(batches + (fit.epoch - first) * fit.steps), start + seconds
            if fit.history.epoch[-1:] != [fit.epoch]:
                logs = fit.compiled.logs(results[:n], results[n:-2], fit.n_rows)
                fit.end_epoch(state, logs, squared_norm, updates, end)
            fit.model._epochs_begun = state.order + 2
            # One statement, without a call in it: all of this or none.
            fit.epoch, state.order, state.first_update, state.started, state.epochs = (
                fit.epoch + 1,
                state.order + 1,
                updates,
                end,
                state.epochs - 1,
            )
            fit.progress.begin_epoch(fit.epoch, fit.options.epochs, fit.steps)


class CustomStepper(Stepper):
    """Batch by batch through Python, where a loss is a Python function."""

    kind, exact = "custom", False

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        n = fit.options.batch_size
        rows: Any = slice(state.row, min(fit.n_rows, state.row + n))
        fit.model._custom_step(fit.compiled, fit.data, rows if order is None else order[rows], fit.capacity, state)


class SplitStepper(Stepper):
    """Batch by batch in the engine, where functions of arrays constrain weights."""

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        rows = range(state.row, min(fit.n_rows, state.row + fit.options.batch_size))
        options = {"mixup": fit.options.mixup, "cutmix": fit.options.cutmix}
        fit.model._split_step(fit.compiled, fit.data, rows, state, order, fit.capacity, **options)


class FullBatchStepper(Stepper):
    """Steps of an optimizer that wants the loss of all rows, and looks at several points for each."""

    def rows(self, fit: FitState) -> int:
        return fit.n_rows

    def run(self, fit: FitState, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        if fit.compiled.custom:
            raise ValueError(f"{type(fit.optimizer).__name__} works with the losses of fastnet.losses only")
        with fit.model._slab.gate.writing():
            self._step(fit, state)

    def _step(self, fit: FitState, state: EpochState) -> None:
        """One step, while no other thread writes."""
        model, n = fit.model, fit.n_rows
        inputs, targets, weights_of_rows = fit.data
        plan = model._plans.get("train", fit.options.batch_size)
        weights = model.trainable_weights
        fit.optimizer.follow(weights)
        hyper = model._plans.hyper(1) if model._plans.scheduled else None
        outputs = model._new_outputs(n) if fit.compiled.takes_outputs else None
        at = np.cumsum([0] + [weight.size for weight in weights])

        def assign(x: np.ndarray) -> None:
            for i, weight in enumerate(weights):
                weight.array[...] = x[at[i] : at[i + 1]].reshape(weight.shape)

        def evaluate(x: np.ndarray, states: int = 0) -> tuple[float, np.ndarray]:
            assign(x)
            state.totals[:], state.sums[:] = 0.0, fit.compiled.new_sums()
            gradient = np.zeros(at[-1])
            for row in range(0, n, fit.options.batch_size):
                end = min(n, row + fit.options.batch_size)
                plan.run(
                    _GRADIENT | states | (0 if outputs is None else _core.FETCH),
                    n_rows=end,
                    first_row=row,
                    batch_size=fit.options.batch_size,
                    outputs=outputs,
                    inputs=inputs,
                    targets=targets,
                    weights=weights_of_rows,
                    step=fit.optimizer.batches,
                    hyper=hyper,
                    loss_sum=state.totals,
                    metrics=state.sums,
                )
                for i, weight in enumerate(weights):
                    gradient[at[i] : at[i + 1]] += weight.gradient.reshape(-1) * ((end - row) / n)
            if outputs is not None:
                judge_rows(fit.compiled, targets, outputs, state.sums, range(0, n, fit.options.batch_size))
            for i, weight in enumerate(weights):
                if weight.penalized and not weight.regularizer.own:  # those are in the plan
                    penalty, slope = penalty_and_gradient(weight)
                    state.totals[0] += n * penalty
                    gradient[at[i] : at[i + 1]] += slope.reshape(-1)
            return state.totals[0] / n, gradient

        start = np.concatenate([weight.array.reshape(-1) for weight in weights]).astype(np.float64)
        optimizer, memory, before = fit.optimizer, fit.optimizer.memory, state.row
        kept = [(weight, weight.array.copy()) for weight in model.non_trainable_weights]
        try:
            x, value, converged = optimizer.step(start, evaluate)
            # The sums, and what layers keep from batch to batch, are those of the last point looked at.
            _, gradient = evaluate(x, _core.STATES)
            if not (math.isfinite(value) and np.isfinite(gradient).all()):
                what = f"loss is {value}" if not math.isfinite(value) else "gradient is infinite or nan, though the loss is not,"
                raise FloatingPointError(f"the {what} at step {optimizer.iterations}")
            optimizer.counter.count(int(not converged), state, n, float(gradient @ gradient))
        except BaseException:
            if state.row == before:  # it has not been counted
                assign(start)
                for weight, array in kept:
                    weight.array[...] = array
                optimizer.memory = memory
            raise
        model.stop_training = model.stop_training or converged


def make_stepper(compiled: Compiled, own_constraints: bool = False, distribution: DataParallel | None = None) -> Stepper:
    """The stepper for an optimizer and losses; own_constraints: some of weights are functions of arrays."""
    if distribution is not None and compiled.sequence:
        from .distribution._sequences import DataParallelSequenceStepper

        return DataParallelSequenceStepper(distribution)
    if distribution is not None:
        from .distribution._fit_stepper import DataParallelStepper

        return DataParallelStepper(distribution)
    if compiled.sequence:
        return SequenceStepper()
    if compiled.optimizer.full_batch:
        return FullBatchStepper()
    if compiled.custom:
        return CustomStepper()
    return SplitStepper() if own_constraints else EngineStepper()
