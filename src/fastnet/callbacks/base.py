"""The base of the callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .._booleans import ChecksBooleans

if TYPE_CHECKING:
    from .._fit_state import FitState

__all__ = ["Callback", "LambdaCallback"]

Logs = dict[str, Any] | None


class Callback(ChecksBooleans):
    """Base of the callbacks, as in Keras: given to `fit`, `evaluate` or `predict`. Hooks not overridden do nothing and cost nothing.

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

    model: Any = None
    params: Mapping[str, Any]

    #: Whether a loss that is not finite stops training without an error.
    stops_on_divergence: bool = False

    #: Whether it sets the learning rate, which the history has then, as in Keras.
    sets_learning_rate: bool = False
    #: Whether `on_checkpoint` writes the state of the other callbacks, so that it must be called after theirs.
    writes_training: bool = False
    #: The attributes that a training checkpoint keeps, with their types: see `get_state`.
    state_types: ClassVar[Mapping[str, Any]] = {}

    def set_model(self, model: Any) -> None:
        """Called once at the start."""
        self.model = model

    @property
    def writes_files(self) -> bool:
        """Whether files are written by this process: of those that train a model together the first one writes them."""
        distribution = self.model.distribution
        return distribution is None or distribution.rank == 0

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
        """Before a batch, counted from 0 in each epoch; calls `on_batch_begin`, as in Keras."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch; `logs` holds the means of the epoch so far. Calls `on_batch_end`."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before `evaluate`, and before the model is validated in `fit`."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After it; `logs` holds the loss and the metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of it, counted from 0."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch; `logs` holds the means so far. Set ``model.stop_evaluating = True`` to end there."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of it, counted from 0."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch; ``logs["outputs"]`` is what was predicted. Set ``model.stop_predicting = True`` to end there."""

    def on_checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        """Whenever Python has control between two batches, some 20 times a second, and after all else of an epoch."""

    def steps_to_checkpoint(self, batches: int) -> int | None:
        """After how many more batches `on_checkpoint` must be called; None: it does not matter.

        Parameters
        ----------
        batches : int
            Batches that the optimizer has seen so far.
        """

    def resume_path(self) -> str | None:
        """A file from which `fit` is to go on, as with `resume_from`; asked for before anything else is called."""
        return None

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
