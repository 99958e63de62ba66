"""Schedule-Free learning (Defazio et al., 2024, "The road less scheduled")."""

from __future__ import annotations

import math
from typing import ClassVar, Unpack

from .._types import OptimizerOptions, Scheduled
from .base import Optimizer, number, scheduled

__all__ = ["ScheduleFreeAdamW", "ScheduleFreeSGD"]


class _ScheduleFree(Optimizer):
    evaluation_slot: ClassVar[str | None] = "x"
    difference_slots: ClassVar[tuple[str, ...]] = ("z_minus_y",)
    lazy_form = False  # x goes on towards z in steps whose gradient is 0

    def _set_averaging(self, warmup_steps: int, r: float, weight_lr_power: float) -> None:
        self.warmup_steps = int(number(self, "warmup_steps", warmup_steps, 0.0, math.inf))
        self.r = number(self, "r", r, 0.0, math.inf)
        self.weight_lr_power = number(self, "weight_lr_power", weight_lr_power, 0.0, math.inf)


class ScheduleFreeSGD(_ScheduleFree):
    """Schedule-Free SGD (Defazio et al., 2024): no schedule, and no need to know when training will end.

    Gradients g are taken at y, the weights that are trained, between the sequence z that they drive and its average x,
    which the model is evaluated and used with::

        warmup = min(1, t / warmup_steps)
        a(t) = t**r * warmup**weight_lr_power;  c = a(t) / (a(1) + ... + a(t))
        z = z - learning_rate * warmup * g
        x = (1 - c) * x + c * z
        y = momentum * x + (1 - momentum) * z

    The authors' code weights by the power of the largest learning rate so far in the place of warmup, which is the same
    while the learning rate is constant; a schedule of it does not change c here. Weight decay moves y and z, by
    ``learning_rate * weight_decay * y``. Neither Keras nor PyTorch has it.

    Parameters
    ----------
    learning_rate : float or callable
        Larger than that of SGD: 10 to 50 times.
    momentum : float or callable
        In [0, 1).
    weight_decay : float, optional
    warmup_steps : int
    r, weight_lr_power : float
        Powers of the step and of the warm-up in the weights of the average.
    """

    kernel = "schedule_free_sgd"

    def __init__(
        self,
        learning_rate: Scheduled = 1.0,
        momentum: Scheduled = 0.9,
        weight_decay: Scheduled | None = None,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        name: str = "schedule_free_sgd",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self._set_averaging(warmup_steps, r, weight_lr_power)


class ScheduleFreeAdamW(_ScheduleFree):
    """Schedule-Free AdamW (Defazio et al., 2024): no schedule, and no need to know when training will end.

    Gradients g are taken at y, the weights that are trained, between the sequence z that they drive and its average x,
    which the model is evaluated and used with::

        warmup = min(1, t / warmup_steps)
        a(t) = t**r * warmup**weight_lr_power;  c = a(t) / (a(1) + ... + a(t))
        v = beta_2 * v + (1 - beta_2) * g**2
        z = z - learning_rate * warmup * g / (sqrt(v / (1 - beta_2**t)) + epsilon)
        x = (1 - c) * x + c * z
        y = beta_1 * x + (1 - beta_1) * z

    As in Keras, c = 1/t; the authors' code has weight_lr_power=2, which counts steps of the warm-up less, and takes the
    largest learning rate so far in the place of warmup (the same while the learning rate is constant). Weight decay
    moves y and z, by ``learning_rate * weight_decay * y``, as in the authors' code; Keras moves y and x. Keras does not
    evaluate at x, and on its PyTorch backend 3.15 takes the new z for the old one when it computes x, since the value it has
    put aside is changed in place: from the second step on other weights come out. Its JAX backend has the equations above.
    PyTorch does not have it.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    warmup_steps : int
    weight_decay : float, optional
    r, weight_lr_power : float
        Powers of the step and of the warm-up in the weights of the average.
    """

    kernel = "schedule_free_adamw"

    def __init__(
        self,
        learning_rate: Scheduled = 0.0025,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: Scheduled | None = None,
        *,
        r: float = 0.0,
        weight_lr_power: float = 0.0,
        name: str = "schedule_free_adamw",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.beta_1 = scheduled(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "beta_2", beta_2, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)
        self._set_averaging(warmup_steps, r, weight_lr_power)
