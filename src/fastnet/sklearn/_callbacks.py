"""The callbacks of scikit-learn 1.9, where there are any: `set_callbacks` of an estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Without callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself."""
        return method


__all__ = ["CallbackSupportMixin", "FitTask", "copies_of", "with_callbacks"]


class FitTask:
    """A call of fit, and its epochs, as tasks of which scikit-learn's callbacks are told.

    Parameters
    ----------
    estimator
    epochs : int
        At most; 0: nobody is told of the single epochs.
    X, y
        What fit was given.
    metadata : dict
    """

    def __init__(self, estimator: Any, epochs: int, X: Any, y: Any, metadata: Mapping[str, Any]) -> None:
        self.estimator, self.told = estimator, {"X": X, "y": y, "metadata": dict(metadata) or None}
        self.context = self.epoch = None
        if hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx"):
            self.context = estimator._init_callback_context(max_subtasks=epochs)
            self.context.call_on_fit_task_begin(estimator=estimator, **self.told)

    def begin_epoch(self) -> None:
        """Tells of an epoch that begins."""
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.told)

    def end_epoch(self, fitted: Callable[[], dict[str, Any]]) -> bool:
        """Tells of its end; whether one of the callbacks asks to stop.

        Parameters
        ----------
        fitted : callable
            Returns the attributes that make a fitted estimator, called where a callback wants one.
        """
        return bool(self.epoch.call_on_fit_task_end(estimator=self.estimator, **self.told, reconstruction_attributes=fitted))

    def end(self) -> None:
        """Tells of the end of fit."""
        if self.context is not None:
            self.context.call_on_fit_task_end(estimator=self.estimator, **self.told, reconstruction_attributes={})


def copies_of(models: list[Any]) -> list[Any]:
    """Copies that stay as they are while training goes on."""
    return [copy.deepcopy(model) for model in models]
