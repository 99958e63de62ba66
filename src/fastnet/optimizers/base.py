"""What all optimizers have in common."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, Unpack

import numpy as np

from .. import _config, _core
from .._old_spellings import given_rate
from .._types import OldOptimizerOptions, Scheduled
from ._in_steps import InSteps
from ._learning_rate import HasLearningRate, with_old_spellings

__all__ = ["Optimizer", "number", "optional", "scheduled"]


class Optimizer(InSteps, HasLearningRate, _config.Configurable):
    """Base of the optimizers, with what works with every one of them.

    In each step, in this order: gradients are accumulated, then clipped, then weights decay, then the optimizer makes
    its step, then the averages follow. Every number may be a callable ``step -> float`` as the learning rate may.

    Parameters
    ----------
    name : str, optional
    weight_decay : float, optional
        ``w = w - learning_rate * weight_decay * w`` before each step where `decoupled_weight_decay`, as in Keras, else
        ``g = g + weight_decay * w``, as PyTorch has it in most optimizers.
    exclude_from_weight_decay : sequence of str
        Weights whose path ("dense/bias") holds one of these do not decay.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Largest norm of the gradient of each weight, largest gradient of each element, largest norm of all gradients
        together (Pascanu et al., 2013). At most one of them, as in Keras.
    use_ema : bool
        Keep an exponential moving average of the weights, ``a = ema_momentum * a + (1 - ema_momentum) * w``, with which
        `evaluate`, `predict` and `save` compute; `get_weights` are the trained ones. Of a weight that is set to something else,
        by `set_weights`, `load_weights` or by writing to it, the average goes on from there. The same holds for the other
        averages: the mean of `swa_start`, in which what was set takes the place of all before it, and the slow weights of
        Lookahead.
    ema_momentum : float
    ema_overwrite_frequency : int, optional
        Every so many steps the weights become their average.
    gradient_accumulation_steps : int, optional
        Batches whose mean gradient makes one step; what is left at the end of `fit` makes a step too. Schedules and the
        average of `use_ema` count steps. (In Keras 3.15 they count batches: it hands schedules the number of batches, and
        moves the average after batches that change no weight, so that it is k steps ahead of its momentum.)
    lookahead_steps : int, optional
        Lookahead (Zhang et al., 2019): every so many steps the weights go back to the slow ones,
        ``s = s + lookahead_alpha * (w - s)``, ``w = s``.
    lookahead_alpha : float
    swa_start : int, optional
        Stochastic weight averaging (Izmailov et al., 2018): from this step on keep the mean of the weights, of every
        `swa_period`-th step, with which `evaluate` and `predict` compute.
    swa_period : int
    learning_rate_multipliers : dict of str to float, optional
        Factors of the learning rate by the name of the layer, of a layer within it ("inner/dense"), or of the weight
        ("dense/kernel"); the longest name that fits counts.
    lazy : bool
        A table of which a batch uses some rows, as that of `Embedding`, is updated in these rows alone: the others, and what
        the optimizer keeps of them, stay as they are, while otherwise averages of earlier gradients move all rows in every
        step. So a step costs what the rows of its batch do, however large the table. As TensorFlow Addons' LazyAdam and
        PyTorch's SparseAdam, which ``Adam(epsilon=1e-8, lazy=True)`` is, but for every optimizer that works element by
        element. The rows used are those that the batch looks up, also where their gradient is 0; in a custom loop, whose
        gradients can be written to, those whose gradient is not 0. The step that equations call t counts for all rows;
        weight decay and clipping are of the rows used. Other weights, and a table with a penalty or one that another kind of
        layer shares, have gradients for all their rows and are updated as ever. Goes with no accumulation of gradients
        and no averages of the weights, since these are of all rows in all steps.

    Attributes
    ----------
    iterations : int
        Steps made so far: what the learning rate is a function of.
    """

    #: Name of the optimizer in the engine; None: its steps are made in Python.
    kernel: ClassVar[str | None]
    #: Whether a step needs the loss of all rows, at several points.
    full_batch: ClassVar[bool] = False
    #: Whether weight decay is apart from the gradient, as in Keras.
    decoupled_weight_decay: bool = True
    #: Whether it can be lazy: whether it works element by element, and does nothing where the gradient is 0 that matters.
    lazy_form: ClassVar[bool] = True
    #: The slot that holds the weights to evaluate with; None: they are the trained ones.
    evaluation_slot: ClassVar[str | None] = None
    #: Slots of differences between weights: nothing is left of one when the weight is set to something else.
    difference_slots: ClassVar[tuple[str, ...]] = ()

    name = _config.Name()

    #: Whether steps are made along the gradient, to make the loss larger.
    maximize: bool = False
    use_ema: bool = False
    swa_start: int | None = None
    gradient_accumulation_steps: int | None = None
    #: Steps in an epoch, for schedules that count epochs; `fit` sets it.
    steps_per_epoch: int | None = None
    #: Factor of the learning rate beside its schedule: what ReduceLROnPlateau changes where there is one.
    learning_rate_factor: float = 1.0

    #: Of the batches; runs of the engine count on it.
    counter: _core.Counter

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        optimizer = super().__new__(cls, *arguments, **options)
        object.__setattr__(optimizer, "counter", _core.Counter())
        optimizer._set_turns()
        return optimizer

    def __init__(
        self,
        *,
        name: str | None = None,
        weight_decay: Scheduled | None = None,
        exclude_from_weight_decay: Sequence[str] = (),
        clipnorm: Scheduled | None = None,
        clipvalue: Scheduled | None = None,
        global_clipnorm: Scheduled | None = None,
        use_ema: bool = False,
        ema_momentum: Scheduled = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        lookahead_steps: int | None = None,
        lookahead_alpha: Scheduled = 0.5,
        swa_start: int | None = None,
        swa_period: int = 1,
        learning_rate_multipliers: Mapping[str, float] | None = None,
        lazy: bool = False,
        **kwargs: Unpack[OldOptimizerOptions],
    ) -> None:
        self.name = name
        if kwargs:
            self._old_rate = given_rate(self, kwargs)
        self.weight_decay = optional(self, "weight_decay", weight_decay)
        self.exclude_from_weight_decay = tuple(exclude_from_weight_decay)
        self.clipnorm = optional(self, "clipnorm", clipnorm)
        self.clipvalue = optional(self, "clipvalue", clipvalue)
        self.global_clipnorm = optional(self, "global_clipnorm", global_clipnorm)
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(f"{type(self).__name__}: at most one of clipnorm, clipvalue and global_clipnorm can be given")
        self.use_ema = bool(use_ema)
        self.ema_momentum = scheduled(self, "ema_momentum", ema_momentum, 0.0, 1.0)
        self.ema_overwrite_frequency = _count(self, "ema_overwrite_frequency", ema_overwrite_frequency)
        self.gradient_accumulation_steps = _count(self, "gradient_accumulation_steps", gradient_accumulation_steps)
        self.lookahead_steps = _count(self, "lookahead_steps", lookahead_steps)
        self.lookahead_alpha = scheduled(self, "lookahead_alpha", lookahead_alpha, 0.0, math.nextafter(1.0, 2.0))
        if swa_start is not None and not (isinstance(swa_start, int) and swa_start >= 0):
            raise ValueError(f"{type(self).__name__}: swa_start must be a step from 0 on, got {swa_start!r}")
        self.swa_start = swa_start
        self.swa_period = _count(self, "swa_period", swa_period) or 1
        self.learning_rate_multipliers = None
        if learning_rate_multipliers is not None:
            self.learning_rate_multipliers = {
                name: number(self, f"learning_rate_multipliers[{name!r}]", factor, 0.0, math.inf)
                for name, factor in learning_rate_multipliers.items()
            }

        self.lazy = bool(lazy)
        if lazy:
            self._check_lazy()

    def _check_lazy(self) -> None:
        """ValueError where what was asked for is done to all rows of a weight in all steps."""
        if not self.lazy_form:
            raise ValueError(
                f"{type(self).__name__} has no lazy form: what becomes of one row of a weight depends on the others, "
                "or on steps that do not use it"
            )
        others = {
            "gradient_accumulation_steps": (self.gradient_accumulation_steps or 1) > 1,
            "use_ema": self.use_ema,
            "lookahead_steps": self.lookahead_steps is not None,
            "swa_start": self.swa_start is not None,
        }
        for name, given in others.items():
            if given:
                raise ValueError(
                    f"{type(self).__name__}: lazy=True does not go with {name}, which is about all rows in all steps, "
                    f"got {name}={getattr(self, name)!r}"
                )

    @property
    def batches(self) -> int:
        """Batches seen so far: as many as steps, unless gradients are accumulated."""
        return self.counter.batches

    @batches.setter
    def batches(self, value: int) -> None:
        self.counter.batches = value

    @property
    def iterations(self) -> int:
        """Steps made so far."""
        return self.iterations_after(self.batches)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.batches = value * (self.gradient_accumulation_steps or 1)

    def iterations_after(self, batches: int) -> int:
        """Steps made with so many batches."""
        return batches // (self.gradient_accumulation_steps or 1)

    #: The model that it has trained, see `claim`.
    _owner: weakref.ref[Any] | None = None

    #: What `hyper_parameters` returns until an attribute changes, where nothing varies.
    _row: np.ndarray | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name not in ("batches", "_row"):
            object.__setattr__(self, "_row", None)
            self._set_turns()
            _core.note_change()  # predictions may depend on it

    def _set_turns(self) -> None:
        """Says to the counter from which batches on `_averaged_name` is another."""
        every = self.gradient_accumulation_steps or 1
        mean = 0 if self.swa_start is None else (self.swa_start + 1) * every
        self.counter.turns = (every if self.keeps_average else 0, mean)

    def claim(self, model: Any) -> None:
        """Before a model is trained: ValueError where this optimizer has made steps with another one, also if that is gone.

        Its counter, and what it keeps of the weights, are those of one model.
        """
        owner = self._owner() if self._owner is not None else None
        if owner is model:
            return
        if self._owner is not None and self.batches > 0:
            other = f"model {owner.name!r}" if owner is not None else "a model that is gone"
            raise ValueError(
                f"this {type(self).__name__} has trained {other} for {self.iterations} steps and cannot train model {model.name!r}: "
                f"give each its own, {type(self).__name__}.from_config(optimizer.get_config())"
            )
        object.__setattr__(self, "_owner", weakref.ref(model))

    def check_training(self, weights: Sequence[Any]) -> None:
        """Before it trains these weights: ValueError for what it was told, or they have, that it would do nothing about."""

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which belong to no model yet."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_owner", "_trained", "counter")}
        return {**kept, "batches": self.batches}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update((name, value) for name, value in state.items() if name != "batches")
        self._set_turns()
        self.batches = state.get("batches", 0)

    def values(self) -> dict[str, Any]:
        """The engine's hyper-parameters: the attributes of these names, else the engine's defaults.

        A function of the attributes, without `batches`.
        """
        return {name: getattr(self, name, default) for name, default in _defaults(self.kernel).items()}

    def update_values(self) -> dict[str, Any]:
        """What the engine is to do around the optimizer; see csrc/engine/update.c."""
        return {
            "weight_decay": self.weight_decay or 0.0,
            "decay_coupled": not self.decoupled_weight_decay,
            "clipnorm": self.clipnorm or 0.0,
            "clipvalue": self.clipvalue or 0.0,
            "global_clipnorm": self.global_clipnorm or 0.0,
            "accumulation_steps": self.gradient_accumulation_steps or 1,
            "ema_momentum": self.ema_momentum if self.use_ema else 0.0,
            "ema_overwrite_frequency": self.ema_overwrite_frequency or 0,
            "lookahead_steps": self.lookahead_steps or 0,
            "lookahead_alpha": self.lookahead_alpha,
            "mean_start": -1 if self.swa_start is None else self.swa_start,
            "mean_period": self.swa_period,
            "lazy": self.lazy,
            "maximize": self.maximize,
        }

    def hyper_parameters(self, n_batches: int) -> np.ndarray:
        """The engine's hyper-parameters for the next batches: one row, or one for each where they vary.

        Raises
        ------
        ValueError
            If a learning rate is negative or not finite.
        """
        if self._row is not None:
            return self._row
        values = {**self.values(), **self.update_values()}
        varying = {name: value for name, value in values.items() if callable(value)}
        if "learning_rate" not in varying:
            values["learning_rate"] = self.learning_rate_at(self.iterations)
        names = _names(self.kernel)
        row = np.array([0.0 if name in varying else values[name] for name in names], np.float64)
        if not varying:
            row.flags.writeable = False
            self._row = row
            return row
        every = self.gradient_accumulation_steps or 1
        steps = (self.batches + np.arange(n_batches)) // every
        rows = np.tile(row, (n_batches, 1))
        for column, name in enumerate(names):
            if name == "learning_rate" and callable(self.learning_rate):
                rows[:, column] = self._learning_rates(steps)
            elif name in varying:
                rows[:, column] = self._checked(name, self._values_at(varying[name], steps), steps)
        return rows

    def _values_at(self, function: Callable[[int], float], steps: np.ndarray) -> np.ndarray:
        """A hyper-parameter at several steps."""
        if _is_schedule(function):
            return self._bound(function)(steps)
        return np.array([function(int(step)) for step in steps])

    def _checked(self, name: str, values: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values of a hyper-parameter at several steps; ValueError for the first one that is out of its range."""
        lowest, highest = _ranges(self.kernel)[name][:2]
        for wrong in np.flatnonzero(~((values >= lowest) & (values <= highest)))[:1]:
            raise ValueError(
                f"{type(self).__name__}: {name} of step {steps[wrong]} is {values[wrong]:g}; "
                f"it must be between {lowest:g} and {highest:g}"
            )
        return values

    def _bound(self, function: Any) -> Any:
        """A schedule that counts epochs, with their length where it is known."""
        if self.steps_per_epoch is not None and _is_schedule(function):
            return function.bind(self.steps_per_epoch)
        return function

    def _learning_rates(self, steps: np.ndarray) -> np.ndarray:
        if _is_schedule(self.learning_rate):
            rates = self._values_at(self.learning_rate, steps)
            if np.isfinite(rates).all() and (rates >= 0).all():
                return rates * self.learning_rate_factor
        return np.array([self.learning_rate_at(int(step)) for step in steps])

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        given = self._bound(self.learning_rate)(step) if callable(self.learning_rate) else self.learning_rate
        try:
            rate = float(given)
        except (TypeError, ValueError):
            raise TypeError(f"{type(self).__name__}: learning_rate of step {step} must be a number, got {given!r}") from None
        if not (rate >= 0 and math.isfinite(rate)):
            raise ValueError(f"{type(self).__name__}: learning_rate of step {step} is {rate}; it must be finite and not negative")
        return rate * self.learning_rate_factor

    @property
    def class_label(self) -> str:
        """What a training checkpoint tells it from others by."""
        return type(self).__name__

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate is a function of the step."""
        return callable(self.learning_rate)

    def last_learning_rate(self, iterations: int) -> float:
        """The learning rate of the last step of so many."""
        return self.learning_rate_at(max(iterations - 1, 0))

    def forget_accumulated(self) -> None:
        """Takes no account of batches whose gradients wait for more to make a step with."""
        self.batches -= self.batches % (self.gradient_accumulation_steps or 1)

    def get_state(self) -> dict[str, Any]:
        """How far it has come, apart from its arrays: what a training checkpoint keeps."""
        rate = None if callable(self.learning_rate) else self.learning_rate
        return {"batches": self.batches, "learning_rate": rate, "learning_rate_factor": self.learning_rate_factor}

    def check_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What `set_state` takes, from a file; KeyError, TypeError or ValueError where it is not that."""
        rate = state["learning_rate"]
        return {
            "batches": int(state["batches"]),
            "learning_rate": None if rate is None else float(rate),
            "learning_rate_factor": float(state["learning_rate_factor"]),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self.batches = state["batches"]
        self.learning_rate_factor = state["learning_rate_factor"]
        if state["learning_rate"] is not None:
            self.learning_rate = state["learning_rate"]

    def rate_of(self, path: str) -> float:
        """Factor of the learning rate for the weight of this path."""
        multipliers = self.learning_rate_multipliers or {}
        while path and path not in multipliers:
            path = path.rpartition("/")[0]
        return multipliers.get(path, 1.0)

    def decays(self, path: str) -> bool:
        """Whether the weight of this path decays."""
        return not any(part in path for part in self.exclude_from_weight_decay)

    def shape_of(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape under which the engine's optimizer sees the weight of this path, where it looks at weights as a whole."""
        return shape

    def slots(self) -> list[tuple[str, float]]:
        """Names and start values (NaN: the weights) of the arrays it keeps, each as large as the parameters."""
        return _core.optimizer_slots(self.kernel, self._fixed())

    @property
    def keeps_average(self) -> bool:
        """Whether there are, or will be, other weights to evaluate with than the trained ones."""
        return self.swa_start is not None or self.use_ema or bool(self.evaluation_slot)

    def averaged_slot(self) -> int | None:
        """Number of the slot with whose weights to evaluate; None: with the trained ones."""
        averaged = self._averaged_name
        return None if averaged is None else [name for name, _ in self.slots()].index(averaged)

    @property
    def _averaged_name(self) -> str | None:
        """Name of the slot with whose weights to evaluate."""
        if self.swa_start is not None and self.iterations > self.swa_start:
            return "mean"
        if self.iterations == 0:
            return None
        return "average" if self.use_ema else self.evaluation_slot

    def _fixed(self) -> dict[str, float]:
        """Hyper-parameters without the learning rate, which decide how many slots there are; NaN for those that vary."""
        values = {**self.values(), **self.update_values()}
        del values["learning_rate"]
        return {name: math.nan if callable(value) else float(value) for name, value in values.items()}

    def _set_learning_rate(self, learning_rate: Scheduled) -> None:
        self.learning_rate = scheduled(self, "learning_rate", with_old_spellings(self, learning_rate), 0.0, math.inf)


@functools.cache
def _names(kernel: str) -> list[str]:
    """The hyper-parameters in the order of the engine's rows."""
    return _core.hyper_names(kernel)


@functools.cache
def _defaults(kernel: str) -> dict[str, float]:
    return _core.registry("optimizers")[kernel]


@functools.cache
def _ranges(kernel: str) -> dict[str, tuple[float, float, bool, bool]]:
    """What the hyper-parameters may be: (lowest, highest, whole, varies)."""
    return {**_core.attribute_ranges("optimizers")[kernel], **_core.attribute_ranges("updates")["update"]}


def _is_schedule(function: Callable[[int], float]) -> bool:
    from .. import schedules  # not at the start: many a program needs none

    return isinstance(function, schedules.LearningRateSchedule)


def number(optimizer: Optimizer, name: str, value: Any, low: float, high: float) -> float:
    """The value as a float; ValueError unless low <= value < high."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, got {value!r}") from None
    if not low <= number < high:
        raise ValueError(f"{type(optimizer).__name__}: {name} must be at least {low} and below {high}, got {value}")
    return number


def scheduled(optimizer: Optimizer, name: str, value: Any, low: float, high: float) -> Any:
    """As `number`, but a callable ``step -> float`` is returned as it is, a serialized schedule as the schedule."""
    if isinstance(value, Mapping):
        from .. import schedules

        return schedules.deserialize(value)
    return value if callable(value) else number(optimizer, name, value, low, high)


def optional(optimizer: Optimizer, name: str, value: Any) -> Any:
    """None, a callable, or a number that is not negative."""
    return None if value is None else scheduled(optimizer, name, value, 0.0, math.inf)


def _count(optimizer: Optimizer, name: str, value: Any) -> int | None:
    """None or a positive integer."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{type(optimizer).__name__}: {name} must be a positive integer, got {value!r}")
    return value
