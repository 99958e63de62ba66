"""The loop behind `fit`: epochs, slices of epochs, callbacks, and a state from which it can go on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._callback_list import CallbackList
from ._fit_state import EpochState, FitState
from ._progress import Progress
from ._steppers import make_stepper
from .data.feed import Feed
from .history import History

if TYPE_CHECKING:
    from ._fit_options import Arrays, FitOptions
    from .custom import CustomLoop

__all__ = ["Fit"]

#: Epochs that the engine makes without coming back to Python, at most.
_SLICE_EPOCHS = 1024


class Fit(FitState):
    """One call of `fit`, its arguments checked.

    Parameters
    ----------
    model : CustomLoop
    data : tuple of list
        Inputs, targets and weights.
    validation : tuple of list, Feed or None
    options : FitOptions
    progress : Progress
    """

    def __init__(
        self, model: CustomLoop, data: Arrays, validation: Arrays | Feed | None, options: FitOptions, progress: Progress
    ) -> None:
        self.model, self.data, self.validation = model, data, validation
        self.options, self.progress = options, progress
        self.epoch = self.first_epoch = options.initial_epoch
        self.all_rows = len(data[0][0])
        self.capacity = options.batch_size
        self._count_rows(0)
        params = {"epochs": options.epochs, "steps": self.steps, "verbose": options.verbose}
        self.callbacks = CallbackList(options.callbacks, model._shown, params)
        self.compiled = model._require_compiled().fitted_to(data[1], model.output_names)
        if self.compiled.takes_outputs and (options.mixup or options.cutmix):
            raise ValueError(
                "mixup and cutmix change targets in the engine: metrics that are functions of arrays do not see them"
            )
        self.optimizer = self.compiled.optimizer
        self._tell_steps()
        self.history = History()
        self.state = None
        self.logs = {}
        self.stopped = False  # by a callback, before it was resumed
        self.callback_states: list[Any] = []  # where it is resumed
        distribution = model.distribution
        if distribution is not None and distribution.rank:
            self.progress = Progress()  # of all processes the first tells how it goes
        self.stepper = make_stepper(self.compiled, bool(model._plans.own_constraints), distribution)
        of_callbacks = {"learning_rate"} if any(one.sets_learning_rate for one in self.callbacks.callbacks) else set()
        self.history.details = frozenset({*self.stepper.details(self), "seconds"} - of_callbacks)

    def _tell_steps(self) -> None:
        """Says how many there are in an epoch to the schedules that ask."""
        if self.steps is not None:
            steps = 1 if self.optimizer.full_batch else self.steps / (self.optimizer.gradient_accumulation_steps or 1)
            self.optimizer.steps_per_epoch = max(1, round(steps))

    def resume_path(self) -> Any:
        """The file to go on from, by `resume_from` or what a callback has kept; None: there is none."""
        kept = (callback.resume_path() for callback in self.callbacks.callbacks)
        return (
            next((path for path in kept if path is not None), None)
            if self.options.resume_from is None
            else self.options.resume_from
        )

    def arguments(self) -> dict[str, Any]:
        """What must be the same of the data in a call of fit that goes on."""
        return {"n_rows": self.all_rows, "batch_size": self.options.batch_size, "shuffle": bool(self.options.shuffle)}

    def place(self) -> dict[str, int] | None:
        """Where data that come one part after another stand; None: these are arrays."""
        return None

    def go_to(self, place: Mapping[str, int]) -> None:
        """Goes on from such a place, after all else has been put back.

        Raises
        ------
        ValueError
            If the data end before it.
        """

    def _count_rows(self, order: int) -> None:
        """Says how many rows and batches the epoch of that number has, and which part of a pass over all rows it is."""
        size = self.options.batch_size
        per_epoch = min(self.all_rows, (self.options.steps_per_epoch or self.all_rows) * size)
        self.parts = math.ceil(self.all_rows / per_epoch)
        self.part = order % self.parts
        self.n_rows = min(per_epoch, self.all_rows - self.part * per_epoch)
        self.steps = math.ceil(self.n_rows / size)

    def _order_of(self, number: int) -> np.ndarray | None:
        """In which order the epoch of that number visits the rows; None: as they come."""
        number, part = divmod(number, self.parts)
        if self.options.shuffle:
            order = _core.shuffle(self.model.seed, number, self.all_rows)
        else:
            order = np.arange(self.all_rows) if part else None
        if not part:
            return order
        return np.roll(order, -part * self.options.steps_per_epoch * self.options.batch_size)

    def run(self) -> History:
        """Trains until the last epoch, or until a callback stops it."""
        with self.model._slab.gate.session():
            return self._run()

    def _run(self) -> History:
        """As `run`, while no other thread may change the weights."""
        self.model.stop_training = self.stopped
        self.model.history = self.history
        try:
            self.stepper.begin(self)
            self.callbacks.call("on_train_begin", {})
            for callback, state in zip(self.callbacks.callbacks, self.callback_states):
                callback.set_state(state)
            while self.epoch < self.options.epochs and not self.model.stop_training and self._has_data():
                try:
                    self._run_epoch()
                    self.stepper.agree_to_stop(self)
                except FloatingPointError as error:
                    if not self.callbacks.stops_on_divergence:
                        raise
                    self.model.stop_training = True
                    self.callbacks.call("on_divergence", error)
            self.model._variants.switch(self.model, self.data[0])
            self.stepper.flush(self)
            self.callbacks.call("on_train_end", self.logs)
            self.stepper.end()
        except BaseException as error:
            self.stepper.end(error)
            self.stepper.settle(self)
            self.callbacks.call("on_exception", error)
            # Gradients that wait for more to make a step with are of this training, and none of the next.
            self.optimizer.forget_accumulated()
            raise
        finally:
            self.progress.close()
        return self.history

    def _has_data(self) -> bool:
        """Whether there is a batch for the next epoch."""
        return True

    def _run_epoch(self) -> None:
        """The next epoch, or what is left of one; and with it those before whose end nobody is to be called."""
        if self.state is None:
            self.state = self._new_state()
            self.callbacks.call("on_epoch_begin", self.epoch, {})
        self._count_rows(self.state.order)
        self.order = self._order_of(self.state.order)
        self.progress.begin_epoch(self.epoch, self.options.epochs, self.steps)
        self._run_slices(self.state)
        logs = self.logs
        if self.validation is not None and self._epochs_to_validation() == 1:
            logs.update((f"val_{name}", value) for name, value in self._validate(self.validation).items())
        self.end_epoch(self.state, logs, self.state.squared_norm, self.optimizer.iterations, time.perf_counter())
        self._go_on()
        self.callbacks.checkpoint(self, True)

    def _go_on(self) -> None:
        """To the next epoch."""
        self.epoch, self.state = self.epoch + 1, None

    def _validate(self, validation: Any) -> dict[str, Any]:
        """The loss and the metrics of the data held out."""
        if isinstance(validation, Feed):
            return self.stepper.validate_feed(self, validation)
        rows = self.options.validation_batch_size
        if rows is None and self.callbacks.wants_batches("test"):
            rows = self.options.batch_size  # as in Keras
        return self.stepper.validate(self, validation, rows)

    def end_epoch(self, state: EpochState, logs: dict[str, Any], squared_norm: float, iterations: int, end: float) -> None:
        """Writes an epoch down and tells who asked.

        Parameters
        ----------
        state : EpochState
            Of the epoch, but for its rows and sums, which may be those of a later one.
        logs : dict
            Means of the losses and metrics.
        squared_norm : float
            Sum of the squared norms of the gradients.
        iterations : int
            Of the optimizer at its end.
        end : float
            When that was.
        """
        seconds = end - state.started
        logs.update(self.stepper.describe_updates(self, state, squared_norm, iterations))
        self.callbacks.call("on_epoch_end", self.epoch, logs)
        self.history.append(self.epoch, {**logs, "seconds": seconds})
        self.progress.end_epoch(logs, seconds, state.batch if self.steps is None else self.steps)

    def _epochs_to_validation(self) -> int:
        """Epochs until the next after which the model is validated, that and the present one included."""
        frequency = self.options.validation_freq
        if isinstance(frequency, int):
            return frequency - self.epoch % frequency
        return next((number for number in frequency if number > self.epoch), self.options.epochs + 1) - self.epoch

    def epochs_at_once(self) -> int:
        """Epochs that the engine may make one after another, the present one included: nobody is to be called in between."""
        one_by_one = self.compiled.takes_outputs or self.parts > 1
        if self.callbacks.callbacks or self.progress.live or self.model.stop_training or one_by_one:
            return 1
        epochs = min(self.options.epochs - self.epoch, _SLICE_EPOCHS)
        return epochs if self.validation is None else min(epochs, self._epochs_to_validation())

    def _new_state(self) -> EpochState:
        totals = np.zeros(1 + len(self.model.outputs))
        return EpochState(
            self._next_order(), totals, self.compiled.new_sums(), self.optimizer.iterations, self.stepper.rows(self)
        )

    def _next_order(self) -> int:
        """Which shuffle an epoch that begins now visits the rows by."""
        self.model._epochs_begun += 1
        return self.model._epochs_begun - 1

    def _run_slices(self, state: EpochState) -> None:
        """Trains on the rows that are left of an epoch, and perhaps of others after it; `logs` has the means of the last then."""
        by_batch = self.callbacks.wants_batches("train")
        self.logs = self._means(state)
        while self._has_rows(state):
            if by_batch:
                self.callbacks.call("on_train_batch_begin", state.batch, self.logs)
            steps = 1 if by_batch else self.callbacks.steps_to_checkpoint(self.optimizer.batches)
            try:
                self.model._variants.switch(self.model, self.data[0])  # a callback may have seen to other data
                self.stepper.run(self, state, self.order, steps)
            except FloatingPointError as error:
                self.history.diverged = str(error)
                raise
            self.logs = self._means(state)
            if self.progress.within_epochs:
                self.progress.update(
                    state.batch, {**self.logs, "learning_rate": self.optimizer.last_learning_rate(self.optimizer.iterations)}
                )
            if by_batch:
                self.callbacks.call("on_train_batch_end", state.batch - 1, self.logs)
                if self.model.stop_training:
                    break
            if self._has_rows(state):
                self.callbacks.checkpoint(self, False)

    def _has_rows(self, state: EpochState) -> bool:
        """Whether rows are left of the epoch."""
        return state.row < self.n_rows

    def _means(self, state: EpochState) -> dict[str, Any]:
        """Of the rows of an epoch so far; nothing before the first."""
        return self.compiled.logs(state.totals, state.sums, state.rows) if state.rows else {}
