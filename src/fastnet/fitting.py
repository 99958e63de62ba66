"""The loop behind `fit`: epochs, slices of epochs, callbacks, and a state from which it can go on."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from .history import History

if TYPE_CHECKING:
    from ._progress import Progress
    from .callbacks import CallbackList
    from .training import Trainer

__all__ = ["SLICE_SECONDS", "TRAIN", "EpochState", "Fit"]

_GRADIENT = _core.FORWARD | _core.LOSS | _core.BACKWARD
#: A whole step of training.
TRAIN = _GRADIENT | _core.UPDATE

#: Python gets control back this often while the engine trains: for the progress bar and Ctrl-C.
SLICE_SECONDS = 0.05
#: Steps for which a varying learning rate is computed at once.
_SLICE_STEPS = 1024
#: Epochs that the engine makes without coming back to Python, at most.
_SLICE_EPOCHS = 1024


class EpochState(_core.Position):
    """How far an epoch has come: rows, sums and squared_norm are counted in the moment in which steps are made.

    Attributes
    ----------
    order : int
        Which shuffle it visits the rows by.
    row, batch : int
        Rows and batches done.
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
        self.totals, self.sums = totals, sums
        self.squared_norm, self.first_update = squared_norm, first_update
        self.started = time.perf_counter() - seconds

    @property
    def batch(self) -> int:
        return math.ceil(self.row / self.batch_size)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.started


class Fit:
    """One call of `fit`, its arguments checked.

    Parameters
    ----------
    model : Trainer
    inputs, targets, weights : list of ndarray
    validation : tuple or None
        The same three of the rows held out.
    batch_size, epochs, first_epoch, validation_batch_size, validation_freq : int
    shuffle : bool
    callbacks : CallbackList
    progress : Progress
    """

    def __init__(
        self,
        model: Trainer,
        data: tuple[list[np.ndarray], list[np.ndarray], list[Any]],
        validation: tuple[Any, Any, Any] | None,
        callbacks: CallbackList,
        progress: Progress,
        *,
        batch_size: int,
        epochs: int,
        first_epoch: int,
        shuffle: bool,
        mixup: float,
        cutmix: float,
        validation_batch_size: int | None,
        validation_freq: int,
    ) -> None:
        self.model = model
        self.inputs, self.targets, self.weights = data
        self.validation = validation
        self.callbacks = callbacks
        self.progress = progress
        self.batch_size = batch_size
        self.epochs = epochs
        self.epoch = first_epoch
        self.first_epoch = first_epoch
        self.shuffle = shuffle
        self.mixup, self.cutmix = mixup, cutmix
        self.validation_batch_size = validation_batch_size
        self.validation_freq = validation_freq
        self.n_rows = len(self.inputs[0])
        self.steps = math.ceil(self.n_rows / batch_size)
        self.compiled = model._require_compiled().fitted_to(self.targets, model.output_names)
        self.optimizer = self.compiled.optimizer
        steps = 1 if self.optimizer.full_batch else self.steps / (self.optimizer.gradient_accumulation_steps or 1)
        self.optimizer.steps_per_epoch = max(1, round(steps))
        self.history = History()
        self.state: EpochState | None = None  # of the epoch begun and not ended
        self.logs: dict[str, Any] = {}  # of the epoch so far
        self.stopped = False  # by a callback, before it was resumed
        self.callback_states: list[Any] = []  # where it is resumed
        self._ended: tuple[Any, ...] = ()  # what `_pass_epochs` goes through

    def run(self) -> History:
        """Trains until the last epoch, or until a callback stops it."""
        with self.model._slab.gate.session():
            return self._run()

    def _run(self) -> History:
        """As `run`, while no other thread may change the weights."""
        self.model.stop_training = self.stopped
        self.model.history = self.history
        try:
            self.callbacks.call("on_train_begin", {})
            for callback, state in zip(self.callbacks.callbacks, self.callback_states):
                callback.set_state(state)
            while self.epoch < self.epochs and not self.model.stop_training:
                try:
                    self._run_epoch()
                except FloatingPointError as error:
                    if not self.callbacks.stops_on_divergence:
                        raise
                    self.model.stop_training = True
                    self.callbacks.call("on_divergence", error)
            self._flush_gradients()
            self.callbacks.call("on_train_end", self.logs)
        except BaseException as error:
            self._pass_epochs()
            self.callbacks.call("on_exception", error)
            # Gradients that wait for more to make a step with are of this training, and none of the next.
            self.optimizer.batches -= self.optimizer.batches % (self.optimizer.gradient_accumulation_steps or 1)
            raise
        finally:
            self.progress.close()
        return self.history

    def _run_epoch(self) -> None:
        """The next epoch, or what is left of one; and with it those before whose end nobody is to be called."""
        if self.state is None:
            self.state = self._new_state()
            self.callbacks.call("on_epoch_begin", self.epoch, {})
        self.progress.begin_epoch(self.epoch, self.epochs, self.steps)
        self._run_slices(self.state)
        logs = self.logs
        if self.validation is not None and self._epochs_to_validation() == 1:
            values = self.model._evaluate(*self.validation, self.validation_batch_size)
            logs.update((f"val_{name}", value) for name, value in values.items())
        self._end_epoch(self.state, logs, self.state.squared_norm, self.optimizer.iterations, time.perf_counter())
        self.epoch, self.state = self.epoch + 1, None
        self.callbacks.checkpoint(self, True)

    def _end_epoch(self, state: EpochState, logs: dict[str, Any], squared_norm: float, iterations: int, end: float) -> None:
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
        updates, seconds = iterations - state.first_update, end - state.started
        logs["learning_rate"] = self._learning_rate(iterations)
        logs["gradient_norm"] = math.sqrt(squared_norm / updates) if updates else None
        self.callbacks.call("on_epoch_end", self.epoch, logs)
        self.history.append(self.epoch, {**logs, "seconds": seconds})
        self.progress.end_epoch(logs, seconds)

    def _epochs_to_validation(self) -> int:
        """Epochs until the next after which the model is validated, that and the present one included."""
        return self.validation_freq - (self.epoch - self.first_epoch) % self.validation_freq

    def _epochs_at_once(self) -> int:
        """Epochs that the engine may make one after another, the present one included: nobody is to be called in between."""
        if self.callbacks.callbacks or self.progress.live or self.model.stop_training:
            return 1
        epochs = min(self.epochs - self.epoch, _SLICE_EPOCHS)
        return epochs if self.validation is None else min(epochs, self._epochs_to_validation())

    def _learning_rate(self, iterations: int) -> float:
        """That of the last step of so many."""
        return self.optimizer.learning_rate_at(max(iterations - 1, 0))

    def _new_state(self) -> EpochState:
        totals = np.zeros(1 + len(self.model.outputs))
        rows = self.n_rows if self.optimizer.full_batch else self.batch_size
        return EpochState(self._next_order(), totals, self.compiled.new_sums(), self.optimizer.iterations, rows)

    def _next_order(self) -> int:
        """Which shuffle an epoch that begins now visits the rows by."""
        self.model._epochs_begun += 1
        return self.model._epochs_begun - 1

    def _run_slices(self, state: EpochState) -> None:
        """Trains on the rows that are left of an epoch, and perhaps of others after it; `logs` has the means of the last then."""
        order = _core.shuffle(self.model.seed, state.order, self.n_rows) if self.shuffle else None
        by_batch = self.callbacks.wants_batches
        self.logs = self._means(state)
        while state.row < self.n_rows:
            if by_batch:
                self.callbacks.call("on_train_batch_begin", state.batch, self.logs)
            steps = 1 if by_batch else self.callbacks.steps_to_checkpoint(self.optimizer.batches)
            try:
                self._run_slice(state, order, steps)
            except FloatingPointError as error:
                self.history.diverged = str(error)
                raise
            self.logs = self._means(state)
            if self.progress.within_epochs:
                self.progress.update(state.batch, {**self.logs, "learning_rate": self._learning_rate(self.optimizer.iterations)})
            if by_batch:
                self.callbacks.call("on_train_batch_end", state.batch - 1, self.logs)
                if self.model.stop_training:
                    break
            if state.row < self.n_rows:
                self.callbacks.checkpoint(self, False)

    def _means(self, state: EpochState) -> dict[str, Any]:
        """Of the rows of an epoch so far; nothing before the first."""
        return self.compiled.logs(state.totals, state.sums, state.row) if state.row else {}

    def _run_slice(self, state: EpochState, order: np.ndarray | None, steps: int | None) -> None:
        """At most so many steps, and for about `SLICE_SECONDS`; the state may be that of a later epoch afterwards."""
        if self.optimizer.full_batch:
            with self.model._slab.gate.writing():
                self._step_with_all_rows(state)
            return
        if self.compiled.custom:
            rows: Any = slice(state.row, min(self.n_rows, state.row + self.batch_size))
            self.model._custom_step(
                self.compiled,
                self.inputs,
                self.targets,
                self.weights,
                rows if order is None else order[rows],
                self.batch_size,
                state,
            )
            return
        left = self.steps - state.batch
        steps, epochs = min(steps or left, left), self._epochs_at_once()
        with self.model._slab.gate.writing():
            self._train(state, order, steps, epochs)

    def _train(self, state: EpochState, order: np.ndarray | None, steps: int, epochs: int) -> None:
        """As `_run_slice`, in the engine; at most so many epochs, the present one included."""
        left = self.steps - state.batch
        plan = self.model._plans.get("train", self.batch_size)
        hyper = self.model._plans.hyper(min(steps + (epochs - 1) * self.steps, _SLICE_STEPS))
        if hyper.ndim == 2:  # they vary from step to step
            steps, epochs = min(steps, len(hyper)), min(epochs, 1 + max(0, len(hyper) - left) // self.steps)
        end = min(self.n_rows, state.row + steps * self.batch_size)
        epoch_results = np.empty((epochs - 1, len(state.totals) + len(state.sums) + 2))
        self._ended = epoch_results, self.epoch, self.optimizer.batches + left, time.perf_counter()
        try:
            self.model._make_steps(
                plan,
                TRAIN,
                n_rows=end,
                first_row=state.row,
                batch_size=self.batch_size,
                inputs=self.inputs,
                targets=self.targets,
                weights=self.weights,
                order=order,
                epochs=epochs,
                shuffle=(self.model.seed, state.order) if self.shuffle else None,
                hyper=hyper,
                mixup=self.mixup,
                cutmix=self.cutmix,
                seconds=SLICE_SECONDS,
                loss_sum=state.totals,
                metrics=state.sums,
                gradient_squares=state.squared_norm,
                epoch_results=epoch_results,
                position=state,
            )
        finally:
            self._pass_epochs()

    def _pass_epochs(self) -> None:
        """Ends the epochs after which the engine went on with another, and makes the state that of the last one.

        Where it has been interrupted, it goes on with the epoch that it was at.
        """
        state = self.state
        while state is not None and state.epochs:
            epoch_results, first, batches, start = self._ended
            n, results = len(state.totals), epoch_results[self.epoch - first]
            squared_norm, seconds = results[-2:].tolist()
            updates, end = self.optimizer.iterations_after(batches + (self.epoch - first) * self.steps), start + seconds
            if self.history.epoch[-1:] != [self.epoch]:
                logs = self.compiled.logs(results[:n], results[n:-2], self.n_rows)
                self._end_epoch(state, logs, squared_norm, updates, end)
            self.model._epochs_begun = state.order + 2
            # One statement, without a call in it: all of this or none.
            self.epoch, state.order, state.first_update, state.started, state.epochs = (
                self.epoch + 1,
                state.order + 1,
                updates,
                end,
                state.epochs - 1,
            )
            self.progress.begin_epoch(self.epoch, self.epochs, self.steps)

    def _step_with_all_rows(self, state: EpochState) -> None:
        """One step of an optimizer that wants the loss of all rows."""
        model, n = self.model, self.n_rows
        if self.compiled.custom:
            raise ValueError(f"{type(self.optimizer).__name__} works with the losses of fastnet.losses only")
        plan = model._plans.get("train", self.batch_size)
        weights = model.trainable_weights
        self.optimizer.follow(weights)
        at = np.cumsum([0] + [weight.size for weight in weights])

        def assign(x: np.ndarray) -> None:
            for i, weight in enumerate(weights):
                weight.array[...] = x[at[i] : at[i + 1]].reshape(weight.shape)

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            assign(x)
            state.totals[:], state.sums[:] = 0.0, 0.0
            gradient = np.zeros(at[-1])
            for row in range(0, n, self.batch_size):
                end = min(n, row + self.batch_size)
                plan.run(
                    _GRADIENT,
                    n_rows=end,
                    first_row=row,
                    batch_size=self.batch_size,
                    inputs=self.inputs,
                    targets=self.targets,
                    weights=self.weights,
                    step=self.optimizer.batches,
                    loss_sum=state.totals,
                    metrics=state.sums,
                )
                for i, weight in enumerate(weights):
                    gradient[at[i] : at[i + 1]] += weight.gradient.reshape(-1) * ((end - row) / n)
            for i, weight in enumerate(weights):
                if weight.penalized:
                    state.totals[0] += n * weight.regularizer(weight.array)
                    gradient[at[i] : at[i + 1]] += weight.regularizer.gradient(weight.array).reshape(-1)
            return state.totals[0] / n, gradient

        start = np.concatenate([weight.array.reshape(-1) for weight in weights]).astype(np.float64)
        optimizer, memory, before = self.optimizer, self.optimizer.memory, state.row
        try:
            x, value, converged = optimizer.step(start, evaluate)
            _, gradient = evaluate(x)  # the sums are those of the last point looked at
            if not (math.isfinite(value) and np.isfinite(gradient).all()):
                what = f"loss is {value}" if not math.isfinite(value) else "gradient is infinite or nan, though the loss is not,"
                raise FloatingPointError(f"the {what} at step {optimizer.iterations}")
            optimizer.counter.count(int(not converged), state, n, float(gradient @ gradient))
        except BaseException:
            if state.row == before:  # it has not been counted
                assign(start)
                optimizer.memory = memory
            raise
        model.stop_training = model.stop_training or converged

    def _flush_gradients(self) -> None:
        """Makes a step with the gradients that have been accumulated, where some are left."""
        every = self.optimizer.gradient_accumulation_steps or 1
        left = -self.optimizer.batches % every
        if left:
            kind = "custom" if self.compiled.custom else "train"
            plan, hyper = self.model._plans.get(kind, self.batch_size, exact=kind == "train"), self.model._plans.hyper(1)
            with self.model._slab.gate.writing():
                self.model._make_steps(plan, _core.UPDATE | _core.FLUSH, n_rows=1, batch_size=1, hyper=hyper, counts=left)
