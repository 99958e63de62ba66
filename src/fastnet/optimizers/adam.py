"""Adam and its descendants."""

from __future__ import annotations

import math
from typing import Unpack

from .._types import OptimizerOptions, Scheduled
from .base import Optimizer, number, scheduled

__all__ = ["AdaBelief", "Adam", "AdamW", "Adamax", "Adan", "Nadam", "RAdam", "Yogi"]


class _Moments(Optimizer):
    """What the family has in common: averages of gradients and of their squares."""

    def _set_moments(self, learning_rate: Scheduled, beta_1: Scheduled, beta_2: float, epsilon: float) -> None:
        self._set_learning_rate(learning_rate)
        self.beta_1 = scheduled(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "beta_2", beta_2, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)


class Adam(_Moments):
    """Adam (Kingma and Ba, 2015) and AMSGrad (Reddi et al., 2018), in the form of Keras 3::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        u = max(u, v)                                                      # amsgrad=True, else u = v
        alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - alpha * m / (sqrt(u) + epsilon)

    Here epsilon is the "epsilon hat" of the paper. PyTorch adds its eps to the root of the corrected u, as the paper's
    algorithm 1: ``w = w - lr / (1 - beta_1**t) * m / (sqrt(u / (1 - beta_2**t)) + eps)``, and couples weight decay
    (``g = g + weight_decay * w``), which Keras decouples.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    amsgrad : bool
    weight_decay : float, optional
    """

    kernel = "adam"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adam",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)
        self.amsgrad = bool(amsgrad)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)::

        w = w - learning_rate * weight_decay * w

    and then the step of `Adam`. The default of weight_decay is 0.004 in Keras and 0.01 in PyTorch.

    Parameters
    ----------
    learning_rate : float or callable
    weight_decay : float
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    amsgrad : bool
    """

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        weight_decay: Scheduled = 0.004,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        name: str = "adamw",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, got None")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, name=name, **kwargs)


class Adamax(_Moments):
    """Adamax: Adam with the infinity norm (Kingma and Ba, 2015, section 7.1)::

        m = beta_1 * m + (1 - beta_1) * g
        u = max(beta_2 * u, abs(g))
        w = w - learning_rate / (1 - beta_1**t) * m / (u + epsilon)

    PyTorch has its eps in the norm instead: ``u = max(beta_2 * u, abs(g) + eps)``, and divides by u.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "adamax"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adamax",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)


class Nadam(_Moments):
    """Nadam: Adam with Nesterov's momentum (Dozat, 2016)::

        mu(t) = beta_1 * (1 - 0.5 * 0.96**t);  P(t) = mu(1) * mu(2) * ... * mu(t)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        h = mu(t + 1) * m / (1 - P(t + 1)) + (1 - mu(t)) * g / (1 - P(t))
        w = w - learning_rate * h / (sqrt(v / (1 - beta_2**t)) + epsilon)

    PyTorch's momentum rises 250 times slower, as in the paper: ``0.96**(t * momentum_decay)`` with a momentum_decay of
    0.004. A third variant, that of TensorFlow 1 (``contrib.opt``), has no schedule of mu.
    P(t) is a function of t, computed with the beta_1 of the step; the two frameworks keep a running product, which
    differs only if beta_1 varies.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "nadam"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "nadam",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)


class RAdam(_Moments):
    """RAdam: Adam with rectified variance (Liu et al., 2020)::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        rho_inf = 2 / (1 - beta_2) - 1
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        w = w - learning_rate * r * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)    # rho > 5
        w = w - learning_rate / (1 - beta_1**t) * m                                                    # rho <= 5

    PyTorch has the same equations and eps=1e-8; Keras does not have it, the defaults here are those of its Adam.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "radam"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "radam",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)


class AdaBelief(_Moments):
    """AdaBelief (Zhuang et al., 2020), with the equations and defaults of the authors' package::

        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g - m)**2 + epsilon
        u = max(u, s)                                                      # amsgrad=True, else u = s
        w = w - learning_rate / (1 - beta_1**t) * m / (sqrt(u / (1 - beta_2**t)) + epsilon)

    With rectify, the last line is that of `RAdam`, with u in the place of v. (The authors' package drops amsgrad
    there.) Neither Keras nor PyTorch has it.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    amsgrad : bool
    rectify : bool
    weight_decay : float, optional
    """

    kernel = "adabelief"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-16,
        amsgrad: bool = False,
        rectify: bool = True,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adabelief",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)
        self.amsgrad = bool(amsgrad)
        self.rectify = bool(rectify)


class Adan(_Moments):
    """Adan: Adam with Nesterov's momentum, estimated from differences of gradients (Xie et al., 2022)::

        d = g - previous_g                                                 # 0 in the first step
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * d
        n = beta_3 * n + (1 - beta_3) * (g + beta_2 * d)**2
        h = m / (1 - beta_1**t) + beta_2 * v / (1 - beta_2**t)
        w = w - learning_rate * h / (sqrt(n / (1 - beta_3**t)) + epsilon)

    The equations and defaults are those of the authors' package, whose betas are 1 minus those of the paper. Weights decay
    before the step, as with the authors' ``no_prox=True``; their default divides by ``1 + learning_rate * weight_decay``
    after it. A weight that is trained for the first time in a later step (it was frozen, or is a row of a table with
    ``lazy=True``) has no difference in that step. Neither Keras nor PyTorch has it.

    Parameters
    ----------
    learning_rate : float or callable
        The paper's are 5 to 10 times larger than those of Adam.
    beta_1 : float or callable
        Of the average of the gradients. In [0, 1).
    beta_2 : float
        Of the average of their differences. In [0, 1).
    beta_3 : float
        Of the average of the squares. In [0, 1).
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "adan"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.98,
        beta_2: float = 0.92,
        beta_3: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adan",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)
        self.beta_3 = number(self, "beta_3", beta_3, 0.0, 1.0)


class Yogi(_Moments):
    """Yogi (Zaheer et al., 2018): Adam whose second moment does not shrink faster than the squared gradient allows::

        m = beta_1 * m + (1 - beta_1) * g
        v = v - (1 - beta_2) * sign(v - g**2) * g**2
        alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - alpha * m / (sqrt(v) + epsilon)

    Neither Keras nor PyTorch has it.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
        In [0, 1).
    beta_2 : float
        In [0, 1).
    epsilon : float
    initial_accumulator_value : float
        What m and v start from.
    weight_decay : float, optional
    """

    kernel = "yogi"

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-3,
        initial_accumulator_value: float = 1e-6,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "yogi",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_moments(learning_rate, beta_1, beta_2, epsilon)
        self.initial_accumulator_value = number(self, "initial_accumulator_value", initial_accumulator_value, 0.0, math.inf)
