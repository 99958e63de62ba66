"""A callback for searches of hyper-parameters: ends trials that are not worth going on with."""

from __future__ import annotations

import sys
from typing import Any

from .base import Logs
from .control import MonitorCallback

__all__ = ["OptunaPruning"]


class OptunaPruning(MonitorCallback):
    """Reports a quantity to a trial of Optuna after each epoch, and ends training where the trial's pruner says so.

    Parameters
    ----------
    trial : optuna.Trial
        Or an object with its methods ``report(value, step)`` and ``should_prune()``.
    monitor : str
        Name in the logs. Of an estimator of `fastnet.sklearn`, "val_score" is the score of the rows held out.

    Raises
    ------
    optuna.TrialPruned
        From `fit`, for Optuna to catch: the exception of this name of the package that the trial is of.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.load_digits()
    >>> def objective(trial):
    ...     units = trial.suggest_int("units", 4, 64, log=True)
    ...     model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(units, "relu"), fn.layers.Dense(10)], seed=0)
    ...     model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    ...     pruning = fn.callbacks.OptunaPruning(trial, "val_loss")
    ...     history = model.fit(x, y, epochs=10, validation_split=0.2, verbose=0, callbacks=[pruning])
    ...     return history.history["val_loss"][-1]

    It is handed to ``optuna.create_study().optimize(objective)``.
    """

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        super().__init__(monitor)
        for name in ("report", "should_prune"):
            if not callable(getattr(trial, name, None)):
                raise TypeError(f"OptunaPruning: trial must be a trial of Optuna, with a method {name}, got {trial!r}")
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        current = self.current(logs)
        if current is None:
            return
        self.trial.report(current, epoch)
        if self.trial.should_prune():
            package = sys.modules.get(type(self.trial).__module__.partition(".")[0])
            pruned = getattr(package, "TrialPruned", RuntimeError)
            raise pruned(f"pruned after epoch {epoch + 1}: {self.monitor} was {current:g}")
