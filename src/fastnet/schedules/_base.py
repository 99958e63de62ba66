"""What all schedules share: how they are called, bound to epochs, combined, drawn and found by name."""

from __future__ import annotations

import copy
import functools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from .. import _config
from .._figures import new_figure, save_figure

#: Every schedule by its name; filled by the package.
SCHEDULES: dict[str, type[LearningRateSchedule]] = {}


class LearningRateSchedule(_config.Configurable):
    """Base of the schedules: a pure function of the step.

    A subclass stores its arguments and has `evaluate`, which gets an array of steps. A subclass written for
    Keras, whose ``__call__`` takes one step, works as it is: it is called for each step.

    Examples
    --------
    >>> class Harmonic(LearningRateSchedule):
    ...     def __init__(self, initial_learning_rate):
    ...         self.initial_learning_rate = initial_learning_rate
    ...     def evaluate(self, steps):
    ...         return self.initial_learning_rate / (steps + 1)
    >>> Harmonic(1.0)(3), Harmonic(1.0)([0, 1, 3])
    (0.25, array([1.  , 0.5 , 0.25]))

    Schedules can be added and multiplied, with each other and with numbers:

    >>> (0.5 * Harmonic(1.0) + 1)([0, 1, 3])
    array([1.5  , 1.25 , 1.125])
    """

    name = _config.Name()
    __array_ufunc__ = None  # so that NumPy leaves `np.float64(2) * schedule` to us

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__:
            cls.__call__ = _for_each_step(cls.__dict__["__call__"])  # type: ignore[method-assign]

    #: The optimizer whose `learning_rate` it was read from last, weakly: no part of what makes schedules equal.
    __slots__ = ("_reader",)

    def __call__(self, step: Any) -> Any:
        """The value at one step or at each of many.

        Parameters
        ----------
        step : int or array_like of int
            Steps count from 0.

        Returns
        -------
        float or ndarray
            A float for a single step, otherwise an array of float64 of the same shape.

        Raises
        ------
        TypeError
            If a step is not an integer.
        ValueError
            If a step is negative.
        """
        steps = _as_steps(self, step)
        values = np.asarray(self.evaluate(steps.reshape(-1)), np.float64)
        return float(values[0]) if steps.ndim == 0 else values.reshape(steps.shape)

    def __float__(self) -> float:
        """What it says for the optimizer that it was read from, at the step that comes next: ``float(optimizer.learning_rate)``.

        Raises
        ------
        TypeError
            If it was not read from an optimizer that is there.
        """
        optimizer = self._reader() if hasattr(self, "_reader") else None
        if optimizer is None:
            raise TypeError(
                f"{type(self).__name__} is a function of the step: call it with one, or ask an optimizer's learning_rate"
            )
        return float(optimizer.learning_rate_at(optimizer.iterations))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(float(self), dtype)

    def __format__(self, form: str) -> str:
        return format(float(self), form) if form else str(self)

    def numpy(self) -> float:
        """As `float`."""
        return float(self)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        """The values at `steps`, a one-dimensional array of int64, none of them negative.

        The value at a step must not depend on the other steps of the array.
        """
        raise NotImplementedError(f"{type(self).__name__} must override evaluate(self, steps)")

    @property
    def is_bound(self) -> bool:
        """False while a part of it counts epochs of unknown length: then it needs `bind` before it can be called."""
        return all(part.is_bound for part in _parts(self))

    def bind(self, steps_per_epoch: int) -> LearningRateSchedule:
        """The same schedule with the length of an epoch known to those parts that count epochs; `fit` calls this.

        Parts that were given another length keep it. What counts no epochs is returned as it is.

        Parameters
        ----------
        steps_per_epoch : int
            Steps of one epoch, at least 1.
        """
        if self.is_bound:
            return self
        bound = copy.copy(self)
        for name, value in vars(self).items():
            if _is_schedule(value):
                setattr(bound, name, value.bind(steps_per_epoch))
            elif isinstance(value, tuple) and any(map(_is_schedule, value)):
                items = (item.bind(steps_per_epoch) if _is_schedule(item) else item for item in value)
                setattr(bound, name, tuple(items))
        return bound

    def in_epochs(self, steps_per_epoch: int | None = None) -> Epochs:
        """This schedule as a function of the epoch instead of the step; see `Epochs`.

        >>> from fastnet import schedules
        >>> schedules.StepDecay(0.1, step_size=10).in_epochs(steps_per_epoch=100)([0, 999, 1000])
        array([0.1 , 0.1 , 0.01])
        """
        return Epochs(self, steps_per_epoch)

    def plot(self, n_steps: int, path: str | PathLike[str] | None = None) -> Any:
        """Draws the values of the first steps.

        A schedule that counts epochs of unknown length is drawn by epochs.

        Parameters
        ----------
        n_steps : int
            How many steps, at least 1.
        path : path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install fastnet-engine[plot]``.
        """
        n_steps = count("plot", "n_steps", n_steps)
        steps = np.arange(n_steps)
        figure = new_figure("schedule.plot", 6.4, 3.2)
        axis = figure.subplots()
        axis.plot(steps, self.bind(1)(steps), drawstyle="steps-post", marker="." if n_steps < 30 else "")
        axis.set_title(type(self).__name__, fontsize="medium")
        axis.set_xlabel("step" if self.is_bound else "epoch")
        axis.set_ylabel("value")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __mul__(self, other: Any) -> Chained:
        return Chained([self, other]) if is_schedule_like(other) else NotImplemented

    def __rmul__(self, other: Any) -> Chained:
        return self.__mul__(other)

    def __truediv__(self, other: Any) -> Chained:
        if not is_number(other):
            return NotImplemented
        return self * (1 / number(self, "divisor", other, above=True))

    def __add__(self, other: Any) -> Sum:
        return Sum([self, other]) if is_schedule_like(other) else NotImplemented

    def __radd__(self, other: Any) -> Sum:
        return self.__add__(other)

    # Not by configuration, which a Lambda does not have.
    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(vars(self).values())))


class Chained(LearningRateSchedule):
    """The product: ``value(t) = schedules[0](t) * schedules[1](t) * ...``; also written ``a * b`` and ``0.5 * a``.

    Parameters
    ----------
    schedules : sequence of schedules, numbers or callables
        At least one. One of them holds the learning rate, the others are factors.

    Notes
    -----
    PyTorch's ``ChainedScheduler``, where each schedule multiplies the rate of the optimizer by its factor: here
    that rate is written once, and a factor is a schedule that starts from 1. Keras has none.

    Examples
    --------
    >>> from fastnet.schedules import ExponentialDecay, LinearDecay
    >>> Chained([ExponentialDecay(0.1, 10, 0.5), LinearDecay(0.0, 5, 1.0)])([0, 5, 10]).round(6)
    array([0.      , 0.070711, 0.05    ])
    """

    def __init__(self, schedules: Sequence[Any]) -> None:
        self.schedules = schedules_of(self, schedules)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        product = self.schedules[0](steps)
        for schedule in self.schedules[1:]:
            product = product * schedule(steps)
        return product


class Sum(LearningRateSchedule):
    """The sum: ``value(t) = schedules[0](t) + schedules[1](t) + ...``; also written ``a + b`` and ``0.001 + a``.

    Parameters
    ----------
    schedules : sequence of schedules, numbers or callables
        At least one.

    Examples
    --------
    >>> from fastnet.schedules import LinearDecay
    >>> Sum([0.01, LinearDecay(0.1, 10)])([0, 5, 10, 11])
    array([0.11, 0.06, 0.01, 0.01])
    """

    def __init__(self, schedules: Sequence[Any]) -> None:
        self.schedules = schedules_of(self, schedules)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        total = self.schedules[0](steps)
        for schedule in self.schedules[1:]:
            total = total + schedule(steps)
        return total


class Epochs(LearningRateSchedule):
    """Another schedule counted in epochs: constant within an epoch::

        value(t) = schedule(floor(t / steps_per_epoch))

    Also written ``schedule.in_epochs(steps_per_epoch)``.

    Parameters
    ----------
    schedule : schedule, number or callable
        A function of the epoch, from 0.
    steps_per_epoch : int, optional
        Without it, `fit` says how long an epoch is; for use elsewhere there is `bind`.

    Notes
    -----
    PyTorch's habit of calling ``scheduler.step()`` once an epoch, and Keras's ``LearningRateScheduler`` callback.
    Part of a `Sequential` or `LinearWarmup`, it counts its epochs from where it begins, which may be within an
    epoch of the training; to count all of it in epochs, wrap the whole.

    Examples
    --------
    >>> from fastnet.schedules import MultiStepDecay
    >>> schedule = Epochs(MultiStepDecay(0.1, [2]))
    >>> schedule(0)
    Traceback (most recent call last):
    RuntimeError: Epochs: steps_per_epoch is not known yet; fit sets it, elsewhere bind(steps_per_epoch) does
    >>> schedule.bind(50)([0, 99, 100, 149])
    array([0.1 , 0.1 , 0.01, 0.01])
    """

    def __init__(self, schedule: Any, steps_per_epoch: int | None = None) -> None:
        self.schedule = get(schedule)
        if not self.schedule.is_bound:
            raise ValueError(f"Epochs: schedule must not count epochs itself, got {self.schedule!r}")
        self.steps_per_epoch = None if steps_per_epoch is None else count(self, "steps_per_epoch", steps_per_epoch)

    @property
    def is_bound(self) -> bool:
        return self.steps_per_epoch is not None

    def bind(self, steps_per_epoch: int) -> Epochs:
        return self if self.is_bound else Epochs(self.schedule, steps_per_epoch)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        if self.steps_per_epoch is None:
            raise RuntimeError("Epochs: steps_per_epoch is not known yet; fit sets it, elsewhere bind(steps_per_epoch) does")
        return self.schedule(steps // self.steps_per_epoch)


def _is_schedule(value: Any) -> bool:
    return isinstance(value, LearningRateSchedule)


def _parts(schedule: LearningRateSchedule) -> list[LearningRateSchedule]:
    """The schedules that a schedule is made of."""
    parts = []
    for value in vars(schedule).values():
        items = value if isinstance(value, tuple) else (value,)
        parts += filter(_is_schedule, items)
    return parts


def _as_steps(owner: Any, step: Any) -> np.ndarray:
    steps = np.asarray(step)
    if steps.dtype.kind not in "iu" and steps.size:
        raise TypeError(f"{type(owner).__name__}: step must be an integer or an array of integers, got {step!r}")
    if steps.size and steps.min() < 0:
        raise ValueError(f"{type(owner).__name__}: step must be at least 0, got {steps.min()}")
    return steps.astype(np.int64, order="C")


def _for_each_step(call: Callable[[Any, int], Any]) -> Callable[[Any, Any], Any]:
    """A ``__call__`` for arrays, from one for a single step."""

    @functools.wraps(call)
    def call_each(self: Any, step: Any) -> Any:
        steps = _as_steps(self, step)
        values = np.array([float(call(self, one)) for one in steps.reshape(-1).tolist()])
        return float(values[0]) if steps.ndim == 0 else values.reshape(steps.shape)

    return call_each


def is_number(value: Any) -> bool:
    """Whether it is a real number: Python's or NumPy's, but no truth value."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def is_schedule_like(value: Any) -> bool:
    """Whether it can be a factor or a term."""
    return _is_schedule(value) or is_number(value)


def _checked(owner: Any, name: str, value: Any, low: float, above: bool, kind: str) -> None:
    owner = owner if isinstance(owner, str) else type(owner).__name__
    wanted = f"{kind} {'above' if above else 'of at least'} {low:g}"
    fits = isinstance(value, (numbers.Integral, np.integer)) if kind == "an integer" else True
    if not is_number(value) or not fits:
        raise TypeError(f"{owner}: {name} must be {wanted}, got {value!r}")
    if not (math.isfinite(value) and (value > low if above else value >= low)):
        raise ValueError(f"{owner}: {name} must be {wanted}, got {value!r}")


def number(owner: Any, name: str, value: Any, low: float = 0.0, above: bool = False) -> float:
    """The value as a float, if it is finite and at least `low` (or above it)."""
    _checked(owner, name, value, low, above, "a finite number")
    return float(value)


def steps_number(owner: Any, name: str, value: Any, low: float = 0.0, above: bool = True) -> float:
    """The same for a number of steps: an integer remains one."""
    _checked(owner, name, value, low, above, "a finite number")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def count(owner: Any, name: str, value: Any, low: int = 1) -> int:
    """The value as an int, if it is an integer and at least `low`."""
    _checked(owner, name, value, low, False, "an integer")
    return int(value)


def choice(owner: Any, name: str, value: Any, known: tuple[str, ...]) -> str:
    """The value, if it is one of the known ones."""
    if value not in known:
        raise ValueError(f"{type(owner).__name__}: {name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return value


def sequence(owner: Any, name: str, value: Any, expected: str) -> list[Any]:
    """The value as a list."""
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{type(owner).__name__}: {name} must be a sequence of {expected}, got {value!r}")
    return list(value)


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule that `identifier` means.

    Parameters
    ----------
    identifier : schedule, number, callable or mapping
        A number becomes `Constant`, a function of the step becomes `Lambda`, what `serialize` returned becomes
        the schedule again.

    Raises
    ------
    TypeError
        If it is none of these. A name alone is not enough: every schedule has arguments that only its user knows.
    ValueError
        If a name is unknown.

    Examples
    --------
    >>> from fastnet import schedules
    >>> schedules.get(0.01)
    Constant(value=0.01)
    >>> schedules.get(lambda step: 1 / (step + 1))(3)
    0.25
    >>> schedules.get({"class_name": "ExponentialDecay",
    ...                "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}})
    ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)
    >>> schedules.get("step_decay")
    Traceback (most recent call last):
    TypeError: StepDecay needs initial_learning_rate, step_size: pass a StepDecay(...) instead of its name
    """
    if is_number(identifier):
        return SCHEDULES["constant"](identifier)
    is_class = isinstance(identifier, type) and issubclass(identifier, LearningRateSchedule)
    if is_class or isinstance(identifier, str):
        cls = identifier if is_class else _config.lookup("schedule", identifier, SCHEDULES)
        needed = [name for name, default in cls._arguments().items() if default is ...]
        if needed:
            name = cls.__name__
            raise TypeError(f"{name} needs {', '.join(needed)}: pass a {name}(...) instead of its name")
        return cls()
    if isinstance(identifier, LearningRateSchedule):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if callable(identifier) and not isinstance(identifier, type):
        return SCHEDULES["lambda"](identifier)
    raise TypeError(f"not a schedule: {identifier!r}; expected a schedule, a number, a function of the step or a configuration")


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """The schedule as a dictionary that JSON can hold, for `deserialize`.

    Raises
    ------
    TypeError
        If a part of it is a Python function (`Lambda`).
    """
    return _config.serialize(learning_rate_schedule)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> LearningRateSchedule:
    """The schedule that `serialize`, here or in Keras, described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such schedule.
    """
    return _config.deserialize(config, {**SCHEDULES, **(custom_objects or {})}, "schedule")


def schedules_of(owner: LearningRateSchedule, schedules: Any) -> tuple[LearningRateSchedule, ...]:
    """The argument `schedules`, each as a schedule; TypeError or ValueError where there are none."""
    listed = sequence(owner, "schedules", schedules, "schedules")
    if not listed:
        raise ValueError(f"{type(owner).__name__}: schedules must be at least one, got none")
    return tuple(get(schedule) for schedule in listed)
