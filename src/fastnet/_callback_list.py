"""Several callbacks as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._fit_state import FitState
    from .callbacks.base import Callback

__all__ = ["CallbackList"]

#: By what is done with batches: the hooks that are called for each.
_BATCH_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class CallbackList:
    """Calls the same hook of several callbacks, in order."""

    def __init__(
        self, callbacks: Iterable[Callback] | Callback | None, model: Any = None, params: Mapping[str, Any] | None = None
    ) -> None:
        from .callbacks.base import Callback  # not at the start: importing the package is to cost little

        self._base = Callback
        if isinstance(callbacks, Callback):
            callbacks = [callbacks]
        if callbacks is not None and not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks must be a list of objects of fastnet.callbacks.Callback, got {callbacks!r}")
        self.callbacks = list(callbacks or [])
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be objects of fastnet.callbacks.Callback, got {callback!r}")
        if params is not None:
            self.tell(model, params)

    def tell(self, model: Any, params: Mapping[str, Any]) -> None:
        """Tells them whose they are."""
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def wants_batches(self, what: str) -> bool:
        """Whether any callback has a hook that is called for each batch that is trained on ("train"), "test" or "predict"."""
        return any(
            getattr(callback, hook) != getattr(self._base, hook).__get__(callback)
            for callback in self.callbacks
            for hook in _BATCH_HOOKS[what]
        )

    @property
    def wants_checkpoints(self) -> bool:
        """Whether any callback has `on_checkpoint`, which may be called after any step."""
        return any(callback.on_checkpoint != self._base.on_checkpoint.__get__(callback) for callback in self.callbacks)

    def steps_to_checkpoint(self, batches: int) -> int | None:
        """Batches until a callback must be called; None: none must at a certain batch."""
        counts = [callback.steps_to_checkpoint(batches) for callback in self.callbacks]
        return min((count for count in counts if count), default=None)

    def checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        """A moment at which training could go on from what is in memory; who writes that down comes last."""
        if not self.callbacks:
            return
        for callback in sorted(self.callbacks, key=lambda callback: callback.writes_training):
            callback.on_checkpoint(fit, epoch_ended)

    @property
    def stops_on_divergence(self) -> bool:
        """Whether a loss that is not finite stops training without an error."""
        return any(callback.stops_on_divergence for callback in self.callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """Calls one hook of all."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
