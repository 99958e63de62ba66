"""Learning rate schedules, by the names and arguments of Keras 3, and of PyTorch for what only that has.

A schedule is a pure function of the step, which counts from 0. It takes one step or an array of them and needs
nothing but these, so that training can be resumed at any step. Where an optimizer takes a learning rate, a
momentum or a weight decay, it takes a schedule. `Epochs` counts any of them in epochs.

>>> import fastnet as fn
>>> schedule = fn.schedules.CosineDecay(0.1, decay_steps=100)
>>> schedule(50), schedule([0, 50, 100])
(0.05, array([0.1 , 0.05, 0.  ]))
"""

from .._names import snake_case
from ._base import SCHEDULES, Chained, Epochs, LearningRateSchedule, Sum, deserialize, get, serialize
from .composite import Lambda, Sequential
from .cosine import CosineDecay, CosineDecayRestarts, Cyclic, OneCycle
from .decay import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    MultiStepDecay,
    NaturalExpDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
)
from .warmup import InverseSquareRoot, LinearWarmup, Noam, WarmupStableDecay

__all__ = [
    "Chained", "Constant", "CosineDecay", "CosineDecayRestarts", "Cyclic", "Epochs", "ExponentialDecay",
    "InverseSquareRoot", "InverseTimeDecay", "Lambda", "LearningRateSchedule", "LinearDecay", "LinearWarmup",
    "MultiStepDecay", "NaturalExpDecay", "Noam", "OneCycle", "PiecewiseConstantDecay", "PolynomialDecay",
    "Sequential", "StepDecay", "Sum", "WarmupStableDecay", "deserialize", "get", "serialize",
]  # fmt: skip

SCHEDULES.update((snake_case(cls.__name__), cls) for cls in LearningRateSchedule.__subclasses__())
