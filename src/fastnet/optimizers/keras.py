"""Optimizers with the arguments, defaults and equations of Keras 3, and in its style those that it lacks.

All take the arguments of `Optimizer` by name as well. `learning_rate`, and momentum and beta_1 where there are such,
may be callables ``step -> float``. In the equations w is a weight, g its gradient, and t = 1, 2, ... counts the steps.
"""

from .adam import AdaBelief, Adam, Adamax, AdamW, Adan, Nadam, RAdam, Yogi
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .descent import SGD, Lion, Rprop
from .layerwise import LARS, Adafactor, Lamb, Muon
from .lbfgs import LBFGS
from .schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD

__all__ = [
    "LARS",
    "LBFGS",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Yogi",
]
