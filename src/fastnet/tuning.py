"""Finding good settings before training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._custom_losses import rows_of
from ._figures import new_figure, save_figure

if TYPE_CHECKING:
    from .model import Model

__all__ = ["LearningRates", "find_learning_rate"]


class LearningRates:
    """What a range test saw.

    Attributes
    ----------
    rates : ndarray
        The learning rate of each step.
    losses : ndarray
        The loss of its batch, from before the step.
    smoothed : ndarray
        The losses, averaged over neighbouring steps.
    suggestion : float or None
        The rate at which the smoothed loss falls by the largest part of itself from step to step; None: it never fell
        by more than it fluctuates.
    diverged : bool
        Whether the test ended because the loss rose far above its least.
    """

    def __init__(self, rates: np.ndarray, losses: np.ndarray, diverged: bool) -> None:
        self.rates, self.losses, self.diverged = rates, losses, diverged
        self.smoothed = _smooth(losses)
        self.suggestion = _steepest(rates, losses, self.smoothed)

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draws the loss over the learning rate, with the suggestion.

        Parameters
        ----------
        path : path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install fastnet-engine[plot]``.
        """
        figure = new_figure("plot", 6.4, 3.6)
        axis = figure.subplots()
        axis.plot(self.rates, self.losses, alpha=0.3, label="loss of the batch")
        axis.plot(self.rates, self.smoothed, color="C0", label="smoothed")
        if self.suggestion is not None:
            axis.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggestion: {self.suggestion:.2g}")
        low, high = float(self.smoothed.min()), float(self.smoothed[: max(1, len(self.smoothed) // 3)].max())
        margin = (high - low) or abs(high) or 1.0
        axis.set_ylim(low - 0.2 * margin, high + 0.5 * margin)
        axis.set_xscale("log")
        axis.set_xlabel("learning rate")
        axis.set_ylabel("loss")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __repr__(self) -> str:
        found = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        if not len(self.rates):
            return f"<LearningRates: no rates, suggestion {found}>"
        rates = f"{len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        return f"<LearningRates: {rates}, suggestion {found}>"


def find_learning_rate(
    model: Model,
    x: Any,
    y: Any,
    min_rate: float = 1e-6,
    max_rate: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: Any = None,
    stop_factor: float = 4.0,
) -> LearningRates:
    """The learning rate range test (Smith, 2017, "Cyclical learning rates for training neural networks").

    Trains on some batches while the rate grows exponentially, and watches the loss: below some rate nothing happens,
    then it falls, then it explodes. Afterwards weights, the optimizer's arrays and all counters are, bit for bit, what
    they were.

    Parameters
    ----------
    model : Model
        Compiled; the test goes on from its weights, with its optimizer.
    x, y, sample_weight, class_weight
        As in `Model.fit`.
    min_rate, max_rate : float
        Where the rates begin and end.
    steps : int
        How many there are.
    batch_size : int
    stop_factor : float
        The test ends when the loss, smoothed, is so many times its least; or NaN or infinite.

    Returns
    -------
    LearningRates

    Raises
    ------
    RuntimeError
        If the model is not compiled.
    ValueError
        If the rates do not grow, there are less than two steps, or the optimizer needs no rate (L-BFGS).

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.load_digits()
    >>> model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(32, "relu"), fn.layers.Dense(10)], seed=0)
    >>> model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> found = fn.tuning.find_learning_rate(model, x, y)
    >>> bool(1e-4 < found.suggestion < 0.1)
    True
    """
    if not 0 < min_rate < max_rate < math.inf:
        raise ValueError(f"the rates must grow from above 0, got min_rate={min_rate}, max_rate={max_rate}")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 2:
        raise ValueError(f"steps must be an integer of at least 2, got {steps!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}")
    inputs, targets, weights = model._data_for(x, y, sample_weight, class_weight, True)
    optimizer = model.optimizer
    if optimizer.full_batch:
        raise ValueError(f"{type(optimizer).__name__} searches for the length of each step itself")
    every = optimizer.gradient_accumulation_steps or 1
    growth = math.log(max_rate / min_rate) / (steps - 1)
    rates, losses = [], []
    least, average, diverged = math.inf, 0.0, False
    with _everything_restored(model):
        first = optimizer.iterations
        optimizer.learning_rate_factor = 1.0
        optimizer.learning_rate = _Growing(min_rate, growth, first)
        batches = _batches(model, len(inputs[0]), batch_size)
        for step in range(steps):
            loss = 0.0
            try:
                for _ in range(every):
                    rows = next(batches)
                    loss += _train(model, inputs, targets, weights, rows) / every
            except FloatingPointError:
                diverged = True
                break
            rates.append(optimizer.learning_rate(first + step))
            losses.append(loss)
            average = 0.8 * average + 0.2 * loss
            smoothed = average / (1 - 0.8 ** (step + 1))
            least = min(least, smoothed)
            if smoothed > least + (stop_factor - 1) * abs(least) and step >= 5:
                diverged = True
                break
    return LearningRates(np.array(rates), np.array(losses), diverged)


class _Growing:
    """``start * exp(growth * (step - first))``"""

    def __init__(self, start: float, growth: float, first: int) -> None:
        self.start, self.growth, self.first = start, growth, first

    def __call__(self, step: int) -> float:
        return self.start * math.exp(self.growth * (step - self.first))


def _batches(model: Model, n: int, batch_size: int) -> Iterator[np.ndarray]:
    """Row numbers of one batch after another, shuffled as `fit` would; batches are full where there are enough rows."""
    epoch, size = model._epochs_begun, min(batch_size, n)
    while True:
        order = _core.shuffle(model.seed, epoch, n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]
        epoch += 1


def _train(model: Model, inputs: Any, targets: Any, weights: Any, rows: np.ndarray) -> float:
    x, y = rows_of(inputs, rows), rows_of(targets, rows)
    weight: Any = rows_of(weights, rows)
    if all(one is None for one in weight):
        weight = None
    elif len(weight) == 1:
        weight = weight[0]
    logs = model.train_on_batch(
        x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], weight, return_dict=True, check_finite=False
    )
    return logs["loss"]


@contextlib.contextmanager
def _everything_restored(model: Model) -> Iterator[None]:
    """What training changes is afterwards what it was before, bit for bit."""
    optimizer, weights, restore_slots = model.optimizer, model.get_weights(), model._plans.slots.keep()
    state, rate = optimizer.get_state(), optimizer.learning_rate
    counters = (model._epochs_begun, model.history, model.stop_training)
    try:
        yield
    finally:
        model.set_weights(weights)
        restore_slots()
        optimizer.set_state(state)
        optimizer.learning_rate = rate
        model._epochs_begun, model.history, model.stop_training = counters
        model._forward = None


def _smooth(values: np.ndarray) -> np.ndarray:
    """Means over neighbours, weighted by a bell some 5% of the values wide; without the lag of a running mean."""
    n = len(values)
    if n < 3:
        return values.copy()
    distance = np.arange(n)[:, None] - np.arange(n)
    kernel = np.exp(-0.5 * (distance / max(1.0, 0.03 * n)) ** 2)
    return kernel @ values / kernel.sum(axis=1)


def _steepest(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> float | None:
    """The rate at which the loss falls by the largest part, before its least.

    Only what comes before it first rises again by a quarter of its fall counts: later falls are from where too large a
    rate has thrown the weights. None where it falls no more than it fluctuates.
    """
    if len(smoothed) < 2:
        return None
    least = np.minimum.accumulate(smoothed)
    noise = np.std((losses - smoothed)[: max(2, len(losses) // 3)])
    fallen = smoothed[0] - least
    risen = np.flatnonzero((fallen > 2 * noise) & (smoothed - least > 0.25 * fallen))
    end = int(np.argmin(smoothed[: risen[0] if len(risen) else None])) + 1
    if end < 2 or fallen[end - 1] <= 2 * noise:
        return None
    heights = np.log(smoothed) if smoothed.min() > 0 else smoothed
    return float(rates[int(np.argmin(np.gradient(heights)[:end]))])
