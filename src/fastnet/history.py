"""What happened in training: a number for each epoch and quantity."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

__all__ = ["History"]


class History:
    """Returned by `fit`, and kept as ``model.history``.

    Attributes
    ----------
    epoch : list of int
        The epochs made.
    history : dict of str to list
        A number for each of them: ``loss``, each metric, the same with ``val_`` for validation,
        ``learning_rate`` (at the end of the epoch) and ``seconds``.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def append(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Adds the numbers of one epoch; quantities it lacks are None."""
        for name in logs:
            self.history.setdefault(name, [None] * len(self.epoch))
        self.epoch.append(epoch)
        for name, values in self.history.items():
            values.append(logs.get(name))

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draws the curves: loss, each metric, the learning rate, training and validation together.

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
            If matplotlib is not installed: ``pip install fastnet[plot]``.
        ValueError
            If there are no epochs yet.
        """
        if not self.epoch:
            raise ValueError("there is nothing to plot: no epoch has been completed")
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("history.plot needs matplotlib: pip install fastnet[plot]") from None
        names = [name for name in self.history if not name.startswith("val_") and name != "seconds" and self._points(name)]
        figure = Figure(figsize=(6.4, 2.4 * len(names)), layout="constrained")
        axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        marker = "." if len(self.epoch) < 30 else ""
        for axis, name in zip(axes, names):
            axis.plot(*zip(*self._points(name)), marker=marker, label="training")
            if validation := self._points(f"val_{name}"):
                axis.plot(*zip(*validation), marker=marker, label="validation")
                axis.legend(frameon=False)
            axis.set_ylabel(name.replace("_", " "))
            axis.grid(alpha=0.3)
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        figure.align_ylabels(axes)
        if path is not None:
            figure.savefig(path)
        return figure

    def _points(self, name: str) -> list[tuple[int, Any]]:
        """(epoch, value) where there is a number; epochs count from 1 here."""
        values = self.history.get(name, [])
        return [(epoch + 1, value) for epoch, value in zip(self.epoch, values) if isinstance(value, (int, float, np.ndarray))]

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items()
                         if isinstance(values[-1], float))  # fmt: skip
        return f"<History of {len(self.epoch)} epochs: {last}>"
