"""Many small networks trained at once, each by one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._fit_options import FitOptions
from ._progress import Progress, make_progress

if TYPE_CHECKING:
    from .fitting import Fit
    from .history import History
    from .model import Model

__all__ = ["FitManyError", "PerModel", "fit_many"]


class PerModel:
    """An argument of `fit_many` that differs from model to model: one value for each, in their order.

    Parameters
    ----------
    values : sequence

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.PerModel([10, 20, 30])
    PerModel([10, 20, 30])
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)

    def __repr__(self) -> str:
        return f"PerModel({self.values!r})"


class FitManyError(RuntimeError):
    """Some of the models could not be trained to the end; the others were.

    Attributes
    ----------
    errors : dict of int to Exception
        What happened, by the number of the model.
    histories : list of History
        Of all models, as far as they came.
    """

    def __init__(self, errors: Mapping[int, Exception], histories: Sequence[History]) -> None:
        self.errors, self.histories = dict(errors), list(histories)
        described = "; ".join(f"model {i}: {type(error).__name__}: {error}" for i, error in self.errors.items())
        super().__init__(f"{len(self.errors)} of {len(self.histories)} models failed: {described}")


class _Cancelled(BaseException):
    """Raised in a thread that is to end."""


class _Watch(Progress):
    """Ends a fit that has been cancelled, whenever Python has control."""

    within_epochs = True

    def __init__(self, group: _core.ThreadGroup) -> None:
        self._group = group

    def update(self, step: int, logs: Mapping[str, Any]) -> None:
        if self._group.cancelled:
            raise _Cancelled


class _Work:
    """Fits that threads take one after another.

    Attributes
    ----------
    errors : dict of int to BaseException
        By the number of the fit.
    """

    def __init__(self, fits: Sequence[Fit], group: _core.ThreadGroup, report: Any) -> None:
        self.fits = fits
        self.errors: dict[int, BaseException] = {}
        self._group = group
        self._report = report
        self._waiting = iter(range(len(fits)))  # a step of it is one of CPython: no lock is needed, and none stays closed

    def __call__(self) -> None:
        while not self._group.cancelled:
            number = next(self._waiting, None)
            if number is None:
                return
            self._run_one(number)

    def _run_one(self, number: int) -> None:
        try:
            history = self.fits[number].run()
        except Exception as error:
            self.errors[number] = error
        except _Cancelled:
            pass
        except BaseException as error:  # a callback wants the program to end
            self.errors[number] = error
            self._group.cancel()
        else:
            self._report(number, history)


def _check_apart(models: Sequence[Model]) -> None:
    """ValueError where two models would change the same thing."""
    seen: dict[int, tuple[int, str]] = {}
    for i, model in enumerate(models):
        compiled = model._compiled
        if compiled is None:
            raise RuntimeError(f"model {i}: {model.name!r} must be compiled first: model.compile(optimizer=..., loss=...)")
        parts: list[tuple[Any, str]] = [
            (model, "are the same"),
            (compiled.optimizer, "share an optimizer: each counts its own steps"),
        ]
        parts += [(layer, f"share the layer {layer.name!r}") for layer in model.layers]
        if model.built:
            parts.append((model._slab, "have shared layers, and so their weights in one place"))
        for part, what in parts:
            other, _ = seen.setdefault(id(part), (i, what))
            if other != i:
                raise ValueError(f"models {other} and {i} {what}; they cannot be trained at once")


def _arguments_of(number: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of fit for one of the models."""
    return {name: value.values[number] if isinstance(value, PerModel) else value for name, value in arguments.items()}


def fit_many(
    models: Sequence[Model],
    x: Any,
    y: Any = None,
    *,
    n_threads: int | None = None,
    verbose: str | int = 0,
    executor: Any = None,
    **arguments: Any,
) -> list[History]:
    """Trains many networks at once, each by one thread: for networks too small to be worth several threads each.

    What becomes of a model does not depend on the others: it is what its own `fit` gives, to the last bit. Training runs
    in C without Python's global lock, so threads do not wait for each other as long as an epoch takes longer than some 100
    microseconds and callbacks are few.

    Parameters
    ----------
    models : sequence of Model
        Compiled, and with nothing in common: neither layers nor the optimizer.
    x, y : array_like, or a list or dictionary of them, or PerModel
        The data of all models; `PerModel` has those of each.
    n_threads : int, optional
        How many models are trained at the same time. Default: the number of processors there are for this process. What
        was told to `compile` does not count here.
    verbose : {"auto", 0, 1, 2}
        Other than 0: a line for each model that is done.
    executor : optional
        A pool whose workers train the models instead of threads, each model by one thread: any with `submit`, as those of
        `concurrent.futures`, of loky, ``mpi4py.futures.MPIPoolExecutor()``, ``client.get_executor()`` of Dask. Models are sent as
        pickles; what all of them have in common, as a rule the data, each worker gets once: from a file in the folder for temporary files
        (``TMPDIR``) where it sees that, else by message. Models, optimizers and callbacks are afterwards what those of the workers
        have become.
    **arguments
        Those of `Model.fit`, the same for all models, or `PerModel`. Callbacks have a state, so each model needs its own:
        ``callbacks=fn.PerModel([[EarlyStopping()] for _ in models])``.

    Returns
    -------
    list of History

    Raises
    ------
    TypeError, ValueError, RuntimeError
        Before any model is trained, with the number of the model, where something does not fit.
    FitManyError
        Where training failed, after the other models have been trained to their ends.
    KeyboardInterrupt
        On Ctrl-C, after all have stopped: between two batches, so that every model is in a state as after that batch. A third
        Ctrl-C does not wait for callbacks that do not return.
    MemoryError
        Where a thread had no memory to begin with, after all have stopped.

    Examples
    --------
    >>> import fastnet as fn
    >>> models = [fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=seed) for seed in range(4)]
    >>> for model in models:
    ...     model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> histories = fn.fit_many(models, [0, 1, 2], [1, 3, 5], epochs=fn.PerModel([5, 5, 5, 10]))
    >>> [len(history.epoch) for history in histories]
    [5, 5, 5, 10]
    """
    models = list(models)
    for name, value in {"x": x, "y": y, **arguments}.items():
        if isinstance(value, PerModel) and len(value.values) != len(models):
            raise ValueError(f"{name}: PerModel has {len(value.values)} values for {len(models)} models")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must have a method submit, as those of concurrent.futures, got {executor!r}")
    if executor is not None and n_threads is not None:
        raise ValueError(f"n_threads={n_threads!r}: how many models are trained at the same time is for the executor to say")
    if n_threads is None:
        n_threads = _core.default_threads()
    elif isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1:
        raise ValueError(f"n_threads must be a positive integer, got {n_threads!r}")
    make_progress(verbose)  # raises
    if arguments.get("callbacks") and not isinstance(arguments["callbacks"], PerModel) and len(models) > 1:
        raise TypeError("callbacks have a state: give each model its own, callbacks=fn.PerModel([[...] for _ in models])")
    _check_apart(models)
    for number, model in enumerate(models):
        if model.distribution is not None:
            raise ValueError(
                f"model {number}: {model.name!r} is trained by several processes together, and fit_many trains each by one thread: call its "
                "fit, or fastnet.distribution.set_distribution(None)"
            )
    group = _core.ThreadGroup()
    fits: list[Fit] = []
    for number, model in enumerate(models):
        try:
            given = FitOptions(**_arguments_of(number, {"x": x, "y": y, **arguments}))
            fits.append(model._make_fit(_Watch(group), given))
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            raise type(error)(f"model {number}: {error}") from error
    _check_callbacks(fits)

    def report(number: int, history: History) -> None:
        if verbose:
            last = " - ".join(
                f"{name}: {values[-1]:.4g}"
                for name, values in history.history.items()
                if values and isinstance(values[-1], float)
            )
            print(f"Model {number} of {len(models)} - {last}", flush=True)

    if executor is not None:
        from ._fit_pool import fit_by_pool

        given = {"x": x, "y": y, **arguments}
        shared = {name: value for name, value in given.items() if not isinstance(value, PerModel)}
        own = [
            {name: value.values[i] for name, value in given.items() if isinstance(value, PerModel)} for i in range(len(models))
        ]
        failed = fit_by_pool(models, shared, own, executor, report)
        if failed:
            histories = [model.history if i not in failed else fits[i].history for i, model in enumerate(models)]
            raise FitManyError(failed, histories) from next(iter(failed.values()))
        return [model.history for model in models]
    work = _Work(fits, group, report)
    for model in models:
        model._plans.one_thread = True
    try:
        group.run(work, min(n_threads, len(fits)))
    finally:
        for model in models:
            model._plans.one_thread = False
    histories = [fit.history for fit in fits]
    errors = dict(sorted(work.errors.items()))
    for error in errors.values():
        if not isinstance(error, Exception):
            raise error
    if errors:
        raise FitManyError(errors, histories) from next(iter(errors.values()))
    return histories


def _check_callbacks(fits: Sequence[Fit]) -> None:
    owners: dict[int, int] = {}
    for i, fit in enumerate(fits):
        for callback in fit.callbacks.callbacks:
            if owners.setdefault(id(callback), i) != i:
                raise ValueError(
                    f"models {owners[id(callback)]} and {i} have the same {type(callback).__name__}; "
                    "callbacks have a state, so each model needs its own"
                )
