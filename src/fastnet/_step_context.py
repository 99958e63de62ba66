"""Whether a `train_step` of the user's is being traced: what metrics, losses, optimizers and weights then tell of what they are asked to do."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["MOMENTS", "STEP", "recorded", "unpack_x_y_sample_weight"]

#: The trace in progress: a `StepTrace`.
STEP: ContextVar[Any] = ContextVar("STEP", default=None)

#: Numbers of calls of layers, of tapes and updates, in the order in which they are made.
MOMENTS = itertools.count()


def recorded(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a metric that is told to the trace of a step, where one is made, in place of being done."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **options: Any) -> Any:
        trace = STEP.get()
        return method(self, *args, **options) if trace is None else trace.use_metric(self, method.__name__, args, options)

    run.is_recorded = True  # type: ignore[attr-defined]
    return run


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """The three of a tuple that may hold fewer, with None for the rest."""
    given = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if not 1 <= len(given) <= 3:
        raise ValueError(f"expected (x,), (x, y) or (x, y, sample_weight), got {len(given)} items")
    x, y, sample_weight = (*given, None, None)[:3]
    return x, y, sample_weight
