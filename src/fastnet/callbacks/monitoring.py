"""Callbacks that only look: how long it takes, and what TensorBoard shows."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Callback, Logs

if TYPE_CHECKING:
    from .._fit_state import FitState

__all__ = ["TensorBoard", "Timer"]


class Timer(Callback):
    """Measures how long training takes.

    Attributes
    ----------
    seconds : list of float
        For each epoch, with its validation and the callbacks before this one.
    total : float
        From the beginning of training until now or its end; a resumed `fit` adds to what came before.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> timer = fn.callbacks.Timer()
    >>> history = model.fit([0, 1, 2], [1, 3, 5], epochs=3, verbose=0, callbacks=[timer])
    >>> len(timer.seconds), timer.total >= sum(timer.seconds)
    (3, True)
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun: float | None = None  # when what runs now began
        self._before = 0.0  # seconds of what ran before
        self._epoch_at = 0.0  # value of `total` when the epoch began

    @property
    def total(self) -> float:
        """Seconds of training."""
        return self._before + (time.perf_counter() - self._begun if self._begun is not None else 0.0)

    def on_train_begin(self, logs: Logs = None) -> None:
        self.seconds, self._before, self._epoch_at = [], 0.0, 0.0
        self._begun = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch_at = self.total

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.seconds.append(self.total - self._epoch_at)

    def on_train_end(self, logs: Logs = None) -> None:
        self._before, self._begun = self.total, None

    def on_exception(self, error: BaseException) -> None:
        self.on_train_end()

    def get_state(self) -> dict[str, Any]:
        return {"seconds": list(self.seconds), "total": self.total, "epoch_at": self._epoch_at}

    def check_state(self, state: Mapping[str, Any]) -> None:
        for value in (*state["seconds"], state["total"], state["epoch_at"]):
            if not isinstance(value, (int, float)):
                raise TypeError(f"Timer: {value!r} is not a number of seconds")

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.seconds = list(state["seconds"])
        self._before, self._epoch_at = state["total"], state["epoch_at"]


class TensorBoard(Callback):
    """Writes what TensorBoard shows, by the `tensorboard` package alone, without TensorFlow.

    Look at it with ``tensorboard --logdir logs``. As in Keras there are two runs, "train" and "validation", with
    ``epoch_loss`` and each metric in both, ``epoch_learning_rate`` and ``epoch_gradient_norm`` in the first. The
    summary of the model is a text.

    Parameters
    ----------
    log_dir : path
    histogram_freq : int
        Every how many epochs to write histograms of the weights; 0: never.
    write_graph : bool
        Write the summary of the model, and which layer is called on which.
    update_freq : "epoch", "batch" or int
        Besides the epochs, after how many batches to write ``batch_loss`` and so on, the means of the epoch so far.

    Raises
    ------
    ImportError
        When training begins, if tensorboard is not installed: ``pip install tensorboard``.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        *,
        update_freq: str | int = "epoch",
    ) -> None:
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph = histogram_freq, write_graph
        if update_freq not in ("epoch", "batch") and (isinstance(update_freq, (bool, str)) or update_freq < 1):
            raise ValueError(f"TensorBoard: update_freq must be 'epoch', 'batch' or a number, got {update_freq!r}")
        self.update_freq = update_freq
        self._every = {"epoch": None, "batch": 1}.get(update_freq, update_freq)
        self._writers: dict[str, Any] = {}
        self._wrote_graph = False

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which open files of their own."""
        return {**vars(self), "_writers": {}}

    def on_train_begin(self, logs: Logs = None) -> None:
        _tensorboard()
        self._wrote_graph = False

    def steps_to_checkpoint(self, batches: int) -> int | None:
        return None if self._every is None else self._every - batches % self._every

    def on_checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        batches = fit.optimizer.batches
        if self._every is not None and batches % self._every == 0:
            logs = {name: value for name, value in fit.logs.items() if not name.startswith("val_")}
            self._scalars("train", "batch", logs, batches)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if self.write_graph and not self._wrote_graph:
            self._wrote_graph = True
            self._write("train", _tensorboard().text.text_pb("model", _graph_text(self.model)), epoch)
        training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self._scalars("train", "epoch", training, epoch)
        if validation:
            self._scalars("validation", "epoch", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for weight, path in self.model._paths().items():
                summary = _tensorboard().histogram.histogram_pb(f"{path}/histogram", weight.array)
                self._write("train", summary, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def on_exception(self, error: BaseException) -> None:
        self.on_train_end()

    def _scalars(self, run: str, kind: str, logs: Mapping[str, Any], step: int) -> None:
        for name, value in logs.items():
            if isinstance(value, (int, float)):
                self._write(run, _tensorboard().scalar.scalar_pb(f"{kind}_{name}", value), step)
            elif isinstance(value, np.ndarray):
                for i, part in enumerate(value.ravel().tolist()):
                    self._write(run, _tensorboard().scalar.scalar_pb(f"{kind}_{name}_{i}", part), step)

    def _write(self, run: str, summary: Any, step: int) -> None:
        if not self.writes_files:
            return
        package = _tensorboard()
        if run not in self._writers:
            self._writers[run] = package.EventFileWriter(os.path.join(self.log_dir, run))
        self._writers[run].add_event(package.Event(summary=summary, step=step, wall_time=time.time()))


def _graph_text(model: Any) -> str:
    """The model as Markdown: its table, and a line for each use of a layer."""
    table: list[str] = []
    model.summary(print_fn=table.append)
    names = {id(tensor): name for tensor, name in zip(model.inputs, model.input_names)}
    lines = []
    for call in model._graph.calls:
        sources = ", ".join(names.get(id(tensor), "unused") for tensor in call.sources)
        lines.append(f"{call.layer.name}({sources}): {call.layer!r}")
        names.update((id(tensor), call.layer.name) for tensor in call.outputs)
    text = "\n".join([*table, "", *lines])
    return "\n".join(f"    {line}" for line in text.splitlines())


class _Package:
    """The parts of tensorboard that are used."""

    def __init__(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.histogram import summary_v2 as histogram
        from tensorboard.plugins.scalar import summary_v2 as scalar
        from tensorboard.plugins.text import summary_v2 as text
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.Event, self.EventFileWriter = Event, EventFileWriter
        self.histogram, self.scalar, self.text = histogram, scalar, text


_package: _Package | None = None


def _tensorboard() -> _Package:
    global _package
    if _package is None:
        try:
            _package = _Package()
        except ImportError as error:
            raise ImportError(f"callbacks.TensorBoard needs tensorboard: pip install tensorboard ({error})") from None
    return _package
