"""The hooks that are called while a model is evaluated, or predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ._model_data import rows_at_once

__all__ = ["NO_HOOKS", "Hooks", "begin_hooks", "begin_stream_hooks"]


class Hooks:
    """The hooks of one call of evaluate or predict.

    Parameters
    ----------
    what : {"test", "predict"}
    callbacks : CallbackList
    model : Model
    """

    def __init__(self, what: str, callbacks: Any, model: Any) -> None:
        self._what, self._callbacks, self._model = what, callbacks, model
        self._by_batch, self._batch = callbacks.wants_batches(what), 0
        self._flag = "stop_evaluating" if what == "test" else "stop_predicting"
        #: Whether a batch was to be the last.
        self.stopped = False
        setattr(model, self._flag, False)
        callbacks.call(f"on_{what}_begin", {})

    def limit(self, row: int, rows: int, n: int) -> int:
        """Up to which row is to be gone next, from this one; tells who wants to know."""
        if not self._by_batch:
            return n
        self._callbacks.call(f"on_{self._what}_batch_begin", self._batch, {})
        return min(n, row + rows)

    def stops(self, logs: Callable[[], dict[str, Any]]) -> bool:
        """Tells who wants to know of each batch what `logs` gives; whether that is to be the last."""
        if not self._by_batch:
            return False
        self._callbacks.call(f"on_{self._what}_batch_end", self._batch, logs())
        self._batch += 1
        self.stopped = bool(getattr(self._model, self._flag))
        return self.stopped

    def close(self, logs: dict[str, Any]) -> dict[str, Any]:
        """At the end; returns the logs."""
        self._callbacks.call(f"on_{self._what}_end", logs)
        return logs


class NoHooks(Hooks):
    """Where there are no callbacks."""

    stopped = False

    def __init__(self) -> None:
        pass

    def limit(self, row: int, rows: int, n: int) -> int:
        return n

    def stops(self, logs: Callable[[], dict[str, Any]]) -> bool:
        return False

    def close(self, logs: dict[str, Any]) -> dict[str, Any]:
        return logs


NO_HOOKS = NoHooks()


def begin_hooks(what: str, callbacks: Any, model: Any, n: int, batch_size: int | None, rows: Sequence[int]) -> tuple[Hooks, int]:
    """The hooks of a call, whose beginning has been told, and how many rows it takes at once.

    Parameters
    ----------
    what : {"test", "predict"}
    callbacks : what the user gave, or the CallbackList of `fit`, or None
    model : Model
    n : int
        How many rows there are.
    batch_size : int, optional
        What the user asked for.
    rows : (int, int)
        Where that is None: how many are taken at once where nobody is to be told of each batch, and where somebody is.
    """
    if callbacks is None:
        return NO_HOOKS, min(n, rows_at_once(model, batch_size, rows[0]))
    known = hasattr(callbacks, "wants_batches")
    found = callbacks if known else model._callback_list(callbacks)
    size = min(n, rows_at_once(model, batch_size, rows[found.wants_batches(what)]))
    if not known:
        found.tell(model, {"epochs": 1, "steps": -(-n // size), "verbose": 0})
    return Hooks(what, found, model), size


def begin_stream_hooks(what: str, callbacks: Any, model: Any, steps: int | None) -> Hooks:
    """As `begin_hooks`, for data that come in so many batches; None: nobody knows."""
    if callbacks is None:
        return NO_HOOKS
    if hasattr(callbacks, "wants_batches"):
        return Hooks(what, callbacks, model)
    found = model._callback_list(callbacks)
    found.tell(model, {"epochs": 1, "steps": steps, "verbose": 0})
    return Hooks(what, found, model)
