"""What an estimator looks at after each epoch: whether to go on, and with which learning rate, by the rules of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..callbacks import Callback

__all__ = ["Record", "Watch"]

#: The learning rate below which "adaptive" stops.
_LEAST_RATE = 1e-6


class Record:
    """The course of the training of one network, over all calls that trained it.

    Attributes
    ----------
    losses : list of float
        Of each epoch.
    scores : list of float
        Of the rows held out, after each epoch, where there are any.
    best_loss, best_score : float
    idle : int
        Epochs since the last that was better by `tol`.
    samples : int
        Rows trained on, each as often as it was.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.best_loss, self.best_score = math.inf, -math.inf
        self.idle = 0
        self.samples = 0
        self.epochs = 0  # of the last call


class Watch(Callback):
    """Ends training where neither the loss nor the score gets better.

    Parameters
    ----------
    record : Record
    options
        The estimator.
    n_samples : int
        Rows of an epoch.
    score : callable, optional
        ``score(model)``, of the rows held out.
    missing : callable, optional
        What the loss of an epoch lacks of the penalty that scikit-learn counts.
    hook : callable, optional
        ``hook(watch)`` after each epoch; whether to stop.
    """

    def __init__(
        self,
        record: Record,
        options: Any,
        n_samples: int,
        score: Callable[[Any], float] | None = None,
        missing: Callable[[], float] | None = None,
        hook: Callable[[Watch], bool] | None = None,
    ) -> None:
        self.record, self.options, self.n_samples = record, options, n_samples
        self.score, self.missing, self.hook = score, missing, hook
        self.best_weights: list[np.ndarray] | None = None
        self.converged = False
        record.epochs = 0

    @property
    def restores(self) -> bool:
        """Whether training ends with the best weights."""
        return self.score is not None and self.options._stops_early

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        record, options = self.record, self.options
        record.epochs += 1
        record.samples += self.n_samples
        loss = logs["loss"] + (self.missing() if self.missing is not None else 0.0)
        record.losses.append(loss)
        if options.verbose:
            print(f"Iteration {record.epochs}, loss = {loss:.8f}")
        if self.score is not None:
            value = self.score(self.model)
            record.scores.append(value)
            logs["val_score"] = value
            if options.verbose:
                print(f"Validation score: {value:f}")
            better = value >= record.best_score + options.tol
            if value > record.best_score or self.best_weights is None:
                record.best_score = max(value, record.best_score)
                self.best_weights = self.model.get_weights() if self.restores else []
        if not self.restores:
            better = loss <= record.best_loss - options.tol
        record.best_loss = min(loss, record.best_loss)
        record.idle = 0 if better else record.idle + 1
        self._schedule()
        if record.idle > options.n_iter_no_change and options.solver != "lbfgs":
            what = "Validation score" if self.restores else "Training loss"
            self._stop(f"{what} did not improve more than tol={options.tol:f} for {options.n_iter_no_change} consecutive epochs.")
        if self.hook is not None and self.hook(self):
            self.converged = self.model.stop_training = True

    def _schedule(self) -> None:
        """Sets the learning rate of the next epoch."""
        options = self.options
        if options.solver == "sgd" and options.learning_rate == "invscaling":
            self.model.optimizer.learning_rate = options.learning_rate_init / (self.record.samples + 1) ** options.power_t

    def _stop(self, message: str) -> None:
        """Ends training, or divides the learning rate by 5 where that is adaptive."""
        options, optimizer = self.options, self.model.optimizer
        if options.solver == "sgd" and options.learning_rate == "adaptive" and optimizer.learning_rate > _LEAST_RATE:
            optimizer.learning_rate /= 5.0
            self.record.idle = 0
            message += f" Setting learning rate to {optimizer.learning_rate:f}"
        else:
            self.converged = self.model.stop_training = True
            message += " Stopping."
        if options.verbose:
            print(message)

    def finish(self, model: Any) -> None:
        """Puts the best weights back, where that is asked for."""
        if self.restores and self.best_weights:
            model.set_weights(self.best_weights)
