"""The base of the callbacks, and how fit calls several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..fitting import Fit
    from ..model import Model

__all__ = ["Callback", "CallbackList", "LambdaCallback"]

Logs = Mapping[str, Any] | None


class Callback:
    """Base of the callbacks, as in Keras. Hooks not overridden do nothing and cost nothing.

    Attributes
    ----------
    model : Model
        The model being trained. Set ``model.stop_training = True`` to stop.
    params : dict
        ``epochs``, ``steps``, ``verbose``.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Stop(fn.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.1
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> history = model.fit([0, 1, 2], [1, 3, 5], epochs=500, verbose=0, callbacks=[Stop()])
    >>> len(history.epoch) < 100
    True
    """

    model: Model
    params: Mapping[str, Any]

    #: Whether a loss that is not finite stops training without an error.
    stops_on_divergence: bool = False
    #: Whether `on_checkpoint` writes the state of the other callbacks, so that it must be called after theirs.
    writes_training: bool = False
    #: The attributes that a training checkpoint keeps, with their types: see `get_state`.
    state_types: ClassVar[Mapping[str, Any]] = {}

    def set_model(self, model: Model) -> None:
        """Called once at the start."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called once at the start."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch; not after an exception."""

    def on_exception(self, error: BaseException) -> None:
        """When fit ends by an exception, Ctrl-C included; it is raised again afterwards."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After an epoch and its validation. `logs` holds all that history will; it may be added to."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch; `logs` holds the means of the epoch so far."""

    def on_checkpoint(self, fit: Fit, epoch_ended: bool) -> None:
        """Whenever Python has control between two batches, some 20 times a second, and after all else of an epoch."""

    def steps_to_checkpoint(self, batches: int) -> int | None:
        """After how many more batches `on_checkpoint` must be called; None: it does not matter.

        Parameters
        ----------
        batches : int
            Batches that the optimizer has seen so far.
        """

    def on_divergence(self, error: FloatingPointError) -> None:
        """When the loss became NaN or infinite and training stops without an error."""

    def get_state(self) -> dict[str, Any]:
        """What a training checkpoint keeps of it: a dictionary of numbers, text, lists of them, and arrays.

        By default the attributes that `state_types` names.
        """
        return {name: getattr(self, name) for name in self.state_types}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError unless `set_state` can take this, which was read from a file."""
        for name, kind in self.state_types.items():
            if not isinstance(state[name], kind):
                raise TypeError(f"{type(self).__name__}: {name} cannot be {state[name]!r}")

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `get_state` returned; called after `on_train_begin` by a fit that is resumed."""
        for name in self.state_types:
            setattr(self, name, state[name])


_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")


class LambdaCallback(Callback):
    """Functions as a callback: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``.

    Parameters
    ----------
    **hooks : callable
        By the name of the hook.

    Raises
    ------
    ValueError
        If there is no such hook.
    """

    def __init__(self, **hooks: Callable[..., None]) -> None:
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise ValueError(f"LambdaCallback: there is no hook {name!r}")
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name} must be a function, got {function!r}")
            setattr(self, name, function)


class CallbackList:
    """Calls the same hook of several callbacks, in order."""

    def __init__(self, callbacks: Iterable[Callback] | Callback | None, model: Model, params: Mapping[str, Any]) -> None:
        if isinstance(callbacks, Callback):
            callbacks = [callbacks]
        if callbacks is not None and not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks must be a list of objects of fastnet.callbacks.Callback, got {callbacks!r}")
        self.callbacks = list(callbacks or [])
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be objects of fastnet.callbacks.Callback, got {callback!r}")
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    @property
    def wants_batches(self) -> bool:
        """Whether any callback has a batch hook."""
        return any(
            getattr(callback, hook) != getattr(Callback, hook).__get__(callback)
            for callback in self.callbacks
            for hook in _BATCH_HOOKS
        )

    def steps_to_checkpoint(self, batches: int) -> int | None:
        """Batches until a callback must be called; None: none must at a certain batch."""
        counts = [callback.steps_to_checkpoint(batches) for callback in self.callbacks]
        return min((count for count in counts if count), default=None)

    def checkpoint(self, fit: Fit, epoch_ended: bool) -> None:
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
