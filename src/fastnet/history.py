"""What happened in training: a number for each epoch and quantity."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _core
from ._figures import new_figure, save_figure
from ._html import table
from ._replace import replaced_file

__all__ = ["History", "read_csv", "write_csv"]

Path = str | os.PathLike[str]

#: Inches of the rows of a plot.
_LARGE, _MEDIUM, _SMALL = 2.8, 2.0, 1.5

#: From which ratio of the greatest and the least value on an axis is logarithmic.
_RANGES = {"learning_rate": 2, "gradient_norm": 100}


class History:
    """Returned by `fit`, and kept as ``model.history``.

    Attributes
    ----------
    epoch : list of int
        The epochs made.
    history : dict of str to list
        As Keras has it: ``loss``, each metric, the same with ``val_`` for validation, and ``learning_rate`` where a callback sets it. A
        number for each epoch that has one: those of validation are fewer where `validation_freq` is more than 1.
    quantities : dict of str to list
        All of that with None in epochs without a number, so that the lists are as long as `epoch`, and besides ``learning_rate`` (at the
        end of the epoch), ``gradient_norm`` (the root of the mean square over its steps) and ``seconds``.
    details : frozenset of str
        Which of the quantities `history` does without.
    diverged : str or None
        What happened, where training ended because the loss became NaN or infinite.
    faults : list
        What was wrong with the targets when training began, such as their size; `diagnose` tells it.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> history = model.fit([0, 1, 2], [1, 3, 5], epochs=3, verbose=0)
    >>> list(history.history), list(history.quantities)
    (['loss'], ['loss', 'learning_rate', 'gradient_norm', 'seconds'])
    >>> history.quantities["learning_rate"]
    [0.1, 0.1, 0.1]
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.quantities: dict[str, list[Any]] = {}
        self.details: frozenset[str] = frozenset()
        self.diverged: str | None = None
        self.faults: list[Any] = []  # of the targets, which `diagnose` tells

    @property
    def history(self) -> dict[str, list[Any]]:
        """The quantities that Keras has, without the epochs that have none."""
        return {
            name: [value for value in values if value is not None]
            for name, values in self.quantities.items()
            if name not in self.details
        }

    def append(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Adds the numbers of one epoch; quantities it lacks are None."""
        for name in logs:
            if name not in self.quantities:
                self.quantities[name] = [None] * len(self.epoch)
        # At once: an interrupt finds as many numbers of each quantity.
        _core.append_row([self.epoch, *self.quantities.values()], [epoch, *map(logs.get, self.quantities)])

    def to_csv(self, path: Path, separator: str = ",") -> None:
        """Writes a table: a line for each epoch, counted from 0; a column for each quantity, empty where there is none.

        Numbers are written so that they are read back exactly.

        Parameters
        ----------
        path : path
        separator : str

        Examples
        --------
        >>> import pathlib, tempfile
        >>> history = History()
        >>> history.append(0, {"loss": 0.5})
        >>> history.append(1, {"loss": 0.25, "val_loss": 0.5})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "history.csv")
        ...     history.to_csv(path)
        ...     print(path.read_text())
        epoch,loss,val_loss
        0,0.5,
        1,0.25,0.5
        """
        rows = (
            {"epoch": epoch, **{name: values[i] for name, values in self.quantities.items()}}
            for i, epoch in enumerate(self.epoch)
        )
        write_csv(path, ["epoch", *self.quantities], rows, separator)

    def diagnose(self, model: Any = None, x: Any = None) -> Any:
        """What a teacher would say of these curves, with the figures seen and what to try.

        Parameters
        ----------
        model : Model, optional
        x : array_like, optional
            Training data. With both, also looks for units that are never active.

        Returns
        -------
        list of Finding
            Printable; empty where nothing is wrong. See `fastnet.diagnosis`.
        """
        from .diagnosis import diagnose

        return diagnose(self, model, x)

    def plot(self, path: Path | None = None) -> Any:
        """Draws the curves, training and validation together: the loss large, each metric, and small what the optimizer did.

        The learning rate has a logarithmic axis where it decays, the norm of the gradient where it changes by more than 100 times.

        Parameters
        ----------
        path : path, optional
            Where to save the picture, in the format that the end of the name says.

        Returns
        -------
        matplotlib.figure.Figure
            Notebooks show it where it is the result of a cell.

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install fastnet-engine[plot]``.
        ValueError
            If there are no epochs yet.
        """
        if not self.epoch:
            raise ValueError("there is nothing to plot: no epoch has been completed")
        names = [name for name in self.quantities if not name.startswith("val_") and name != "seconds" and self._points(name)]
        of_optimizer = [name for name in names if name in ("learning_rate", "gradient_norm")]
        metrics = [name for name in names if name not in ("loss", *of_optimizer)]
        columns = 2 if len(metrics) > 1 else 1
        rows = [(_LARGE, ["loss"])] if "loss" in names else []
        rows += [(_MEDIUM, metrics[i : i + columns]) for i in range(0, len(metrics), columns)]
        rows += [(_SMALL, of_optimizer)] if of_optimizer else []
        figure = new_figure("history.plot", 6.8, sum(height for height, _ in rows))
        grid = figure.add_gridspec(len(rows), 1, height_ratios=[height for height, _ in rows])
        for (_, row), place in zip(rows, grid):
            # A metric that is alone in its row is as wide as those above it.
            parts = place.subgridspec(1, columns if row[0] in metrics else len(row))
            for name, part in zip(row, parts):
                axis = figure.add_subplot(part)
                self._draw(axis, name)
                if len(figure.axes) == 1 and f"val_{name}" in self.quantities:
                    axis.legend(frameon=False)
                if row is rows[-1][1]:
                    axis.set_xlabel("epoch", fontsize="small")
        if path is not None:
            save_figure(figure, path)
        return figure

    def _draw(self, axis: Any, name: str) -> None:
        """The curves of one quantity."""
        marker = "." if len(self.epoch) < 30 else ""
        points = self._points(name)
        axis.plot(*zip(*points), marker=marker, label="training")
        if validation := self._points(f"val_{name}"):
            axis.plot(*zip(*validation), marker=marker, label="validation")
        if name in _RANGES:
            values = np.ravel([value for _, value in points])
            falls = name != "learning_rate" or values[-1] < values.max()
            if values.min() > 0 and values.max() >= _RANGES[name] * values.min() and falls:
                axis.set_yscale("log")
        axis.set_title(name.replace("_", " "), loc="left", fontsize="medium")
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.tick_params(labelsize="small")
        axis.grid(alpha=0.3)

    def _points(self, name: str) -> list[tuple[int, Any]]:
        """(epoch, value) where there is a number; epochs count from 1 here."""
        numbered = zip(self.epoch, self.quantities.get(name, []))
        return [(epoch + 1, value) for epoch, value in numbered if isinstance(value, (int, float, np.ndarray))]

    def _repr_html_(self) -> str:
        """For notebooks: of each quantity the first and the last value, and the extremes with their epochs."""
        rows = []
        for name in self.quantities:
            points = [(epoch, value) for epoch, value in self._points(name) if np.ndim(value) == 0]
            if not points:
                continue
            least, greatest = (choose(points, key=lambda point: point[1]) for choose in (min, max))
            extremes = [f"{value:.4g} (epoch {epoch})" for epoch, value in (least, greatest)]
            rows.append([name, f"{points[0][1]:.4g}", f"{points[-1][1]:.4g}", *extremes])
        notes = [self.diverged] if self.diverged else []
        return table(f"History of {len(self.epoch)} epochs", ("Quantity", "First", "Last", "Least", "Greatest"), rows, 1, notes)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.quantities.items() if isinstance(values[-1], float))
        return f"<History of {len(self.epoch)} epochs: {last}>"


def _cell(value: Any) -> str:
    """A number, text or array as text."""
    if value is None:
        return ""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return str(value)


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], separator: str = ",", append: bool = False
) -> None:
    """Writes rows as a table with a line of column names, or adds rows to one.

    Where it fails, as on a full disk, the file is as it was before.
    """
    import csv
    import io

    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    if not append:
        writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    data = text.getvalue().encode()
    if append and os.path.isfile(path):
        _append(path, data)
    elif os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device; a folder is an error
        with open(path, "ab" if append else "wb") as file:
            file.write(data)
    else:
        with replaced_file(path) as file:
            file.write(data)


def _append(path: Path, data: bytes) -> None:
    """Adds lines to a file, all of them or none; the last one that is there is ended, where a crash left it without end."""
    with open(path, "r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            data = data if file.read(1) == b"\n" else b"\n" + data
        try:
            while data:  # where the disk is nearly full, a part is written first
                data = data[file.write(data) :]
        except BaseException:
            file.truncate(end)
            raise


def read_csv(path: Path, separator: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    """The column names and the rows of such a table, as text."""
    import csv

    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file, delimiter=separator))
    columns = lines[0] if lines else []
    return columns, [dict(zip(columns, line)) for line in lines[1:]]
