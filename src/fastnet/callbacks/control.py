"""Callbacks that steer training: when to stop, and at what learning rate to go on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Callback, Logs

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["EarlyStopping", "LearningRateScheduler", "MonitorCallback", "ReduceLROnPlateau", "SwapEMAWeights", "TerminateOnNaN"]

_NUMBER = (int, float, type(None))


def directions(model: Model, logs: Mapping[str, Any]) -> dict[str, str]:
    """Which way is better, "min" or "max", for the quantities in the logs of an epoch where that is known."""
    compiled = model._require_compiled()
    found = {name: "min" for name in logs if name.removeprefix("val_") in ("loss", "gradient_norm")}
    names = [name for name in logs if not name.startswith("val_")]  # the loss, those of the outputs, the metrics, ...
    several = len(model.outputs) > 1
    losses = 1 + len(model.outputs) * several
    found.update((name, "min") for name in names[:losses] if name not in compiled.logged)
    found.update((name, metric.better) for name, metric in compiled.logged.items() if metric.better is not None)
    found.update({f"val_{name}": direction for name, direction in found.items() if not name.startswith("val_")})
    return found


class MonitorCallback(Callback):
    """Base of the callbacks that watch one quantity for improvement.

    Parameters
    ----------
    monitor : str
        Name in the logs: "loss", "val_loss", "val_accuracy", ... Where it is missing, a warning says what there is,
        as in Keras.
    mode : {"auto", "min", "max"}
        Which way is better. "auto": down for losses, for metrics what they say themselves.
    baseline : float, optional
        Value to begin with.
    min_delta : float
        Least change that is an improvement. NaN never is one.

    Raises
    ------
    ValueError
        For another mode, and at the end of the first epoch where "auto" cannot tell.
    """

    state_types = {"best": _NUMBER}

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0.0
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        if not isinstance(monitor, str):
            raise TypeError(f"{type(self).__name__}: monitor must be the name of a quantity, got {monitor!r}")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(float(min_delta))
        self.best = baseline
        self._direction: str | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._direction = None

    def current(self, logs: Logs) -> float | None:
        """The monitored quantity, or None after a warning that there is no such."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            numbers = ", ".join(name for name, value in logs.items() if isinstance(value, (int, float)))
            warnings.warn(
                f"{type(self).__name__} monitors {self.monitor!r}, which is not available; there are: {numbers}",
                stacklevel=3,
            )
            return None
        if np.ndim(value):
            raise ValueError(f"{type(self).__name__}: {self.monitor!r} is not a single number: {value!r}")
        return float(value)

    def improves(self, value: float, than: float | None, logs: Logs) -> bool:
        """Whether a value is better than another by more than `min_delta`; anything but NaN is better than None."""
        if self._direction is None:
            known = directions(self.model, logs or {})
            self._direction = known.get(self.monitor) if self.mode == "auto" else self.mode
            if self._direction is None:
                raise ValueError(
                    f"{type(self).__name__}: whether {self.monitor!r} should rise or fall is not known; "
                    "say mode='max' or mode='min'"
                )
        if than is None:
            return not math.isnan(value)
        return value - self.min_delta > than if self._direction == "max" else value + self.min_delta < than


class EarlyStopping(MonitorCallback):
    """Stops training when a quantity no longer improves.

    Parameters
    ----------
    monitor, mode, min_delta
        As in `MonitorCallback`.
    patience : int
        Epochs without improvement after which to stop.
    verbose : {0, 1}
        1: say so.
    baseline : float, optional
        The quantity must become better than this: until it is, improving on its best does not begin the count of
        `patience` anew, as in Keras.
    restore_best_weights : bool
        End with the weights of the best epoch, also where training was not stopped. Averaged weights, where the
        optimizer keeps an average, are restored too, so that `evaluate` gives the best value again.
    start_from_epoch : int
        Epochs to wait before watching.

    Attributes
    ----------
    best : float or None
        Best value so far.
    best_epoch : int
        Its epoch, counted from 0.
    stopped_epoch : int
        The epoch after which training was stopped; 0: it was not.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.load_digits()
    >>> model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(32, "relu"), fn.layers.Dense(10)], seed=0)
    >>> model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    >>> stop = fn.callbacks.EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)
    >>> history = model.fit(x, y, epochs=100, validation_split=0.2, callbacks=[stop], verbose=0)
    >>> len(history.epoch) == stop.best_epoch + 1 + 3
    True
    >>> stop.best == max(history.history["val_accuracy"])
    True
    """

    state_types = {"best": _NUMBER, "wait": int, "stopped_epoch": int, "best_epoch": int}

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self._best_averages: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = self._best_averages = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        current = self.current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.improves(current, self.best, logs):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self.improves(current, self.baseline, logs):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is None:
            return
        if self.verbose:
            print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}.")
        model = self.model
        model.set_weights(self.best_weights)
        model._plans.slots.set_averages(dict(zip(model.weights, self._best_averages or self.best_weights)))

    def _keep(self, epoch: int) -> None:
        model = self.model
        self.best_epoch = epoch
        self.best_weights, self._best_averages = model.get_weights(), None
        if model._plans.slots.averages():
            self._best_averages = [value.copy() for value in model._evaluation_values().values()]

    def get_state(self) -> dict[str, Any]:
        arrays = enumerate([*(self.best_weights or []), *(self._best_averages or [])])
        return {**super().get_state(), **{f"weights/{i}": array for i, array in arrays}}

    def check_state(self, state: Mapping[str, Any]) -> None:
        super().check_state(state)
        arrays, weights = _arrays(state), self.model.weights
        given = sum(name.startswith("weights/") for name in state)
        if given != len(arrays) or given not in (0, len(weights), 2 * len(weights)):
            raise ValueError(f"EarlyStopping: {given} best weights for a model that has {len(weights)}")
        for array, weight in zip(arrays, [*weights, *weights]):
            if array.shape != weight.shape or array.dtype != self.model.dtype:
                raise ValueError(f"EarlyStopping: the best weights do not fit weight {weight.path!r}")

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        arrays, n = _arrays(state), len(self.model.weights)
        self.best_weights, self._best_averages = arrays[:n] or None, arrays[n:] or None


def _arrays(state: Mapping[str, Any]) -> list[np.ndarray]:
    """The arrays "weights/0", "weights/1", ... of a state."""
    found = []
    while isinstance(array := state.get(f"weights/{len(found)}"), np.ndarray):
        found.append(array)
    return found


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a quantity no longer improves.

    It sets ``optimizer.learning_rate``, as in Keras. Where that is a schedule, which Keras refuses, it changes
    ``optimizer.learning_rate_factor``, by which the scheduled rate is multiplied.

    Parameters
    ----------
    monitor, mode, min_delta
        As in `MonitorCallback`.
    factor : float
        The rate becomes so many times what it was; below 1.
    patience : int
        Epochs without improvement after which that happens.
    verbose : {0, 1}
        1: say so.
    cooldown : int
        Epochs to wait after a reduction before counting again.
    min_lr : float
        The rate is not made lower than this.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(fn.schedules.ExponentialDecay(0.1, 100, 0.9)), "mse")
    >>> reduce = fn.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=1e9)
    >>> history = model.fit([0, 1, 2], [1, 3, 5], epochs=6, verbose=0, callbacks=[reduce])
    >>> model.optimizer.learning_rate_factor
    0.25
    """

    state_types = {"best": _NUMBER, "wait": int, "cooldown_counter": int}

    sets_learning_rate = True

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be at least 0 and below 1, got {factor}")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        current = self.current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best, logs):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        """Lowers the rate; False where it is at its least already."""
        optimizer = self.model.optimizer
        old = optimizer.learning_rate_at(optimizer.iterations)
        if old <= self.min_lr:
            return False
        new = max(old * self.factor, self.min_lr)
        if callable(optimizer.learning_rate):
            optimizer.learning_rate_factor *= self.factor if new > self.min_lr else new / old
        else:
            optimizer.learning_rate = new / optimizer.learning_rate_factor
        if self.verbose:
            print(f"Epoch {epoch + 1}: reducing the learning rate to {new:.4g}")
        return True


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    A schedule of `fastnet.schedules` does the same for each step, without a callback.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``: takes the number of the epoch, from 0, and the
        learning rate there is; returns the one to set.
    verbose : {0, 1}
        1: print it.

    Raises
    ------
    TypeError
        If the optimizer's learning rate is a schedule already, as in Keras.
    ValueError
        If the function does not return a number.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> halve = fn.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    >>> model.fit([0, 1, 2], [1, 3, 5], epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.1, 0.05, 0.025]
    """

    sets_learning_rate = True

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: schedule must be a function, got {schedule!r}")
        import inspect

        self.schedule, self.verbose = schedule, verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:  # a function without a signature
            self._takes_rate = True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        if callable(optimizer.learning_rate):
            raise TypeError(
                f"LearningRateScheduler: the optimizer's learning rate is a schedule already: {optimizer.learning_rate!r}"
            )
        rate = self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)):
            raise ValueError(f"LearningRateScheduler: the schedule must return a number, got {rate!r}")
        optimizer._set_learning_rate(float(rate))
        if self.verbose:
            print(f"Epoch {epoch + 1}: setting the learning rate to {float(rate):.4g}")


class TerminateOnNaN(Callback):
    """Ends training quietly when the loss becomes NaN or infinite; without it, `fit` raises FloatingPointError.

    Parameters
    ----------
    raise_error : bool
        Raise that after all.

    The weights are those from before the step in which it happened. (In Keras they are those from after it.)

    Attributes
    ----------
    error : FloatingPointError or None
        What happened.
    """

    error: FloatingPointError | None = None

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = bool(raise_error)
        self.stops_on_divergence = not self.raise_error

    def on_train_begin(self, logs: Logs = None) -> None:
        self.error = None

    def on_divergence(self, error: FloatingPointError) -> None:
        self.error = error
        print(f"Training ends: {error}")


class SwapEMAWeights(Callback):
    """Evaluates with averages of the weights, which `evaluate`, `predict` and `save` do anyway where the optimizer keeps them.

    Here so that scripts written for Keras run: it checks that there are averages.

    Parameters
    ----------
    swap_on_epoch : bool
        At the end of an epoch, for callbacks that save the model. They save averages without it.

    Raises
    ------
    ValueError
        When training begins, where the optimizer keeps none.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = bool(swap_on_epoch)

    def on_train_begin(self, logs: Logs = None) -> None:
        if not self.model.optimizer.use_ema:
            raise ValueError(
                f"SwapEMAWeights needs an optimizer that keeps averages: {type(self.model.optimizer).__name__}(..., use_ema=True)"
            )
