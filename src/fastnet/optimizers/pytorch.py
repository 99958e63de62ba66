"""Optimizers with the arguments, defaults and equations of PyTorch.

The engine's code is the same as that of the classes with Keras's equations, whose documentation says where the two
part. All take the arguments of `Optimizer` by name as well, which PyTorch does by other means: clipnorm and so on; and
``maximize=True``, with which the loss is made as large as can be: g is the negative of its gradient then, penalties included.
In the equations w is a weight, g its gradient, and t = 1, 2, ... counts the steps. Weight decay is coupled
(``g = g + weight_decay * w``) unless said otherwise.

>>> import fastnet as fn
>>> fn.optimizers.pytorch.SGD(lr=0.1, momentum=0.9)
pytorch.SGD(lr=0.1, momentum=0.9)
>>> fn.optimizers.get("pytorch.adam").eps
1e-08
"""

from __future__ import annotations

import math
from typing import Any, Unpack

from .._types import DecayOptions, PyTorchDecayOptions, PyTorchOptions, Scheduled
from .base import Optimizer, number, scheduled
from .descent import SignSteps

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]


class _PyTorch(Optimizer):
    """PyTorch's names for the attributes that the engine knows by Keras's."""

    pytorch = True
    decoupled_weight_decay = False

    def __init__(self, *, maximize: bool = False, **kwargs: Unpack[DecayOptions]) -> None:
        super().__init__(**kwargs)
        self.maximize = bool(maximize)

    def __init_subclass__(cls) -> None:
        # Tells a saved description, and whoever reads a representation, which of two classes of one name it is.
        cls.__name__ = f"pytorch.{cls.__name__}"

    @property
    def lr(self) -> Any:
        """The learning rate."""
        return self.learning_rate

    @lr.setter
    def lr(self, lr: Scheduled) -> None:
        self._set_learning_rate(lr)

    @property
    def eps(self) -> float:
        """What keeps denominators from 0."""
        return self.epsilon

    @property
    def betas(self) -> tuple[Any, float]:
        """Rates of the averages of gradients and of their squares."""
        return self.beta_1, self.beta_2

    def _set_eps(self, eps: float) -> None:
        self.epsilon = number(self, "eps", eps, 0.0, math.inf)

    def _set_betas(self, betas: tuple[Any, float]) -> None:
        beta_1, beta_2 = betas
        self.beta_1 = scheduled(self, "betas[0]", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "betas[1]", beta_2, 0.0, 1.0)


class SGD(_PyTorch):
    """Gradient descent. Without momentum ``w = w - lr * g``. With momentum::

        v = momentum * v + (1 - dampening) * g       # in the first step v = g
        w = w - lr * v                               # nesterov=False
        w = w - lr * (g + momentum * v)              # nesterov=True

    Parameters
    ----------
    lr : float or callable
    momentum : float or callable
        In [0, 1).
    dampening : float
    weight_decay : float
    nesterov : bool
        Takes momentum, and no dampening.
    """

    kernel = "sgd"

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        momentum: Scheduled = 0.0,
        dampening: float = 0.0,
        weight_decay: Scheduled = 0.0,
        nesterov: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.dampening = number(self, "dampening", dampening, 0.0, math.inf)
        self.nesterov = bool(nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("pytorch.SGD: nesterov takes a momentum and no dampening")


class Adagrad(_PyTorch):
    """Adagrad (Duchi, Hazan and Singer, 2011)::

        n = n + g**2                                                       # from initial_accumulator_value
        w = w - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(n) + eps)

    Parameters
    ----------
    lr : float or callable
    lr_decay, weight_decay, initial_accumulator_value, eps : float
    """

    kernel = "adagrad"

    def __init__(
        self,
        lr: Scheduled = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: Scheduled = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self.lr_decay = number(self, "lr_decay", lr_decay, 0.0, math.inf)
        self.initial_accumulator_value = number(self, "initial_accumulator_value", initial_accumulator_value, 0.0, math.inf)
        self._set_eps(eps)


class Adadelta(_PyTorch):
    """Adadelta (Zeiler, 2012)::

        n = rho * n + (1 - rho) * g**2
        delta = sqrt(d + eps) / sqrt(n + eps) * g
        d = rho * d + (1 - rho) * delta**2
        w = w - lr * delta

    Parameters
    ----------
    lr : float or callable
    rho : float
        In [0, 1).
    eps, weight_decay : float
    """

    kernel = "adadelta"

    def __init__(
        self,
        lr: Scheduled = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: Scheduled = 0.0,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self.rho = number(self, "rho", rho, 0.0, 1.0)
        self._set_eps(eps)


class RMSprop(_PyTorch):
    """RMSprop (Tieleman and Hinton, 2012, lecture 6.5), centered as in Graves (2013)::

        n = alpha * n + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g                                    # centered=True, else a = 0
        r = g / (sqrt(n - a**2) + eps)
        w = w - lr * r                                                     # momentum=0
        b = momentum * b + r;  w = w - lr * b                              # momentum>0

    Parameters
    ----------
    lr : float or callable
    alpha : float
        In [0, 1).
    eps, weight_decay : float
    momentum : float or callable
        In [0, 1).
    centered : bool
    """

    kernel = "rmsprop"

    def __init__(
        self,
        lr: Scheduled = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: Scheduled = 0.0,
        momentum: Scheduled = 0.0,
        centered: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self.rho = number(self, "alpha", alpha, 0.0, 1.0)
        self._set_eps(eps)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.centered = bool(centered)

    @property
    def alpha(self) -> float:
        """Rate of the averages."""
        return self.rho


class Adam(_PyTorch):
    """Adam (Kingma and Ba, 2015) and AMSGrad (Reddi et al., 2018)::

        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        u = max(u, v)                                                      # amsgrad=True, else u = v
        w = w - lr / (1 - betas[0]**t) * m / (sqrt(u / (1 - betas[1]**t)) + eps)

    Parameters
    ----------
    lr : float or callable
    betas : (float or callable, float)
        In [0, 1).
    eps, weight_decay : float
    amsgrad : bool
    decoupled_weight_decay : bool
        True: as `AdamW`.
    """

    kernel = "adam"

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        betas: tuple[Any, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scheduled = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self._set_betas(betas)
        self._set_eps(eps)
        self.amsgrad = bool(amsgrad)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)


class AdamW(_PyTorch):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)::

        w = w - lr * weight_decay * w

    and then the step of `Adam`.

    Parameters
    ----------
    lr : float or callable
    betas : (float or callable, float)
        In [0, 1).
    eps, weight_decay : float
    amsgrad : bool
    """

    kernel = "adam"
    decoupled_weight_decay = True

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        betas: tuple[Any, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scheduled = 1e-2,
        amsgrad: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self._set_betas(betas)
        self._set_eps(eps)
        self.amsgrad = bool(amsgrad)


class Adamax(_PyTorch):
    """Adamax: Adam with the infinity norm (Kingma and Ba, 2015, section 7.1)::

        m = betas[0] * m + (1 - betas[0]) * g
        u = max(betas[1] * u, abs(g) + eps)
        w = w - lr / (1 - betas[0]**t) * m / u

    Parameters
    ----------
    lr : float or callable
    betas : (float or callable, float)
        In [0, 1).
    eps, weight_decay : float
    """

    kernel = "adamax"

    def __init__(
        self,
        lr: Scheduled = 2e-3,
        betas: tuple[Any, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scheduled = 0.0,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self._set_betas(betas)
        self._set_eps(eps)


class NAdam(_PyTorch):
    """NAdam: Adam with Nesterov's momentum (Dozat, 2016)::

        mu(t) = betas[0] * (1 - 0.5 * 0.96**(t * momentum_decay));  P(t) = mu(1) * mu(2) * ... * mu(t)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        h = mu(t + 1) * m / (1 - P(t + 1)) + (1 - mu(t)) * g / (1 - P(t))
        w = w - lr * h / (sqrt(v / (1 - betas[1]**t)) + eps)

    Parameters
    ----------
    lr : float or callable
    betas : (float or callable, float)
        In [0, 1).
    eps, weight_decay, momentum_decay : float
    decoupled_weight_decay : bool
    """

    kernel = "nadam"

    def __init__(
        self,
        lr: Scheduled = 2e-3,
        betas: tuple[Any, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scheduled = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self._set_betas(betas)
        self._set_eps(eps)
        self.momentum_decay = number(self, "momentum_decay", momentum_decay, 0.0, math.inf)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)


class RAdam(_PyTorch):
    """RAdam: Adam with rectified variance (Liu et al., 2020)::

        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - lr * r * sqrt(1 - betas[1]**t) / (1 - betas[0]**t) * m / (sqrt(v) + eps)    # rho > 5
        w = w - lr / (1 - betas[0]**t) * m                                                  # rho <= 5

    with the r and rho of `fastnet.optimizers.RAdam`.

    Parameters
    ----------
    lr : float or callable
    betas : (float or callable, float)
        In [0, 1).
    eps, weight_decay : float
    decoupled_weight_decay : bool
    """

    kernel = "radam"

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        betas: tuple[Any, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scheduled = 0.0,
        decoupled_weight_decay: bool = False,
        **kwargs: Unpack[PyTorchOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, **kwargs)
        self._set_learning_rate(lr)
        self._set_betas(betas)
        self._set_eps(eps)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)


class Rprop(_PyTorch, SignSteps):
    """Resilient propagation (Riedmiller and Braun, 1993), as `fastnet.optimizers.Rprop`.

    Parameters
    ----------
    lr : float or callable
        What all step sizes start from.
    etas : (float, float)
        Factors by which step sizes shrink and grow.
    step_sizes : (float, float)
        The smallest and the largest.
    """

    def __init__(
        self,
        lr: Scheduled = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        **kwargs: Unpack[PyTorchDecayOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._set_learning_rate(lr)
        self._set_pairs(etas, step_sizes)
