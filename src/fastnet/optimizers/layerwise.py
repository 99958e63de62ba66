"""Optimizers that look at a weight as a whole: at its norm, its rows and columns, its singular values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Unpack

from .._types import LayerwiseOptions, OptimizerOptions, Scheduled
from .base import Optimizer, number, optional, scheduled

__all__ = ["LARS", "Adafactor", "Lamb", "Muon"]

#: Biases, and the scales and shifts of normalisation layers: what the papers leave out of weight decay.
_VECTORS = ("bias", "gamma", "beta")


class Lamb(Optimizer):
    """LAMB (You et al., 2020), for large batches: Adam's direction, as long as a part of the weight's norm::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        r = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon) + weight_decay * w
        w = w - learning_rate * norm(w) / norm(r) * r              # 1 for the quotient where a norm is 0

    The norms are those of each weight. Weight decay is a part of r, as in the paper; Keras decouples it.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1 : float or callable
    beta_2 : float
    epsilon : float
    weight_decay : float, optional
    exclude_from_weight_decay : sequence of str
        Default: biases and normalisation parameters, as in the paper.
    """

    kernel = "lamb"
    lazy_form = False

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        exclude_from_weight_decay: Sequence[str] = _VECTORS,
        name: str = "lamb",
        **kwargs: Unpack[LayerwiseOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, exclude_from_weight_decay=exclude_from_weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.beta_1 = scheduled(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "beta_2", beta_2, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)


class LARS(Optimizer):
    """LARS (You, Gitman and Ginsburg, 2017), for large batches: momentum with a rate for each weight::

        trust = eta * norm(w) / (norm(g) + weight_decay * norm(w) + epsilon)       # 1 where norm(w) or norm(g) is 0
        v = momentum * v + learning_rate * trust * (g + weight_decay * w)
        w = w - v                                            # nesterov=False
        w = w - (momentum * v + learning_rate * trust * (g + weight_decay * w))    # nesterov=True

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float or callable
        In [0, 1).
    eta : float
        The trust coefficient.
    epsilon : float
    nesterov : bool
    weight_decay : float, optional
    exclude_from_weight_decay : sequence of str
        Default: biases and normalisation parameters.
    """

    kernel = "lars"
    lazy_form = False

    def __init__(
        self,
        learning_rate: Scheduled = 0.1,
        momentum: Scheduled = 0.9,
        eta: float = 0.001,
        epsilon: float = 1e-8,
        nesterov: bool = False,
        weight_decay: Scheduled | None = None,
        *,
        exclude_from_weight_decay: Sequence[str] = _VECTORS,
        name: str = "lars",
        **kwargs: Unpack[LayerwiseOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, exclude_from_weight_decay=exclude_from_weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.eta = number(self, "eta", eta, 0.0, math.inf)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)
        self.nesterov = bool(nesterov)


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018), in the form of Keras 3. Of a matrix it keeps row and column means only::

        b = 1 - t**beta_2_decay
        u = g**2 + epsilon_1
        r = b * r + (1 - b) * mean(u, axis=-1);  c = b * c + (1 - b) * mean(u, axis=-2)
        d = g / sqrt(r / mean(r) * c)                        # a vector: v = b * v + (1 - b) * u;  d = g / sqrt(v)
        d = d / max(1, rms(d) / clip_threshold)
        w = w - max(epsilon_2, rms(w)) * min(learning_rate, 1 / sqrt(t)) * d       # relative_step=False: learning_rate

    Of a weight with more than two axes, as the kernels of convolutions and of attention, the last two make matrices. In Keras
    3.15 relative_step is of no effect, the rate is ``min(learning_rate, 1 / sqrt(t))`` either way; here it does what Keras's
    documentation says. PyTorch's has other defaults and neither relative steps nor the same epsilon.

    Parameters
    ----------
    learning_rate : float or callable
    beta_2_decay : float
        Negative.
    epsilon_1, epsilon_2, clip_threshold : float
    relative_step : bool
    weight_decay : float, optional
    """

    kernel = "adafactor"
    lazy_form = False

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adafactor",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.beta_2_decay = number(self, "beta_2_decay", beta_2_decay, -math.inf, 0.0)
        self.epsilon_1 = number(self, "epsilon_1", epsilon_1, 0.0, math.inf)
        self.epsilon_2 = number(self, "epsilon_2", epsilon_2, 0.0, math.inf)
        self.clip_threshold = number(self, "clip_threshold", clip_threshold, 1e-300, math.inf)
        self.relative_step = bool(relative_step)


class Muon(Optimizer):
    """Muon (Jordan et al., 2024), in the form of Keras 3: momentum made orthogonal, for matrices; Adam for the rest::

        v = momentum * v + g
        u = g + momentum * v                                 # nesterov=False: v
        X = u / norm(u)                                      # transposed where it has more rows than columns
        ns_steps times: A = X @ X.T;  X = muon_a * X + (muon_b * A + muon_c * A @ A) @ X
        w = w - learning_rate * rms_rate * sqrt(max(rows, columns)) * X                    # rms_rate=None: the factor is 1

    Weights of one axis, or of three and more, follow `Adam` with the rate ``learning_rate * adam_lr_ratio``: biases, the
    kernels of convolutions, and those of attention, which have an axis of heads (whose biases are matrices then). So do
    embeddings and `exclude_layers`; the authors advise to name the last layer there. Jordan's code and PyTorch's have the
    factor ``sqrt(max(1, rows / columns))`` in the place of that with rms_rate, and PyTorch's iterates in bfloat16.

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float or callable
        In [0, 1).
    nesterov : bool
    ns_steps : int
    muon_a, muon_b, muon_c : float
        Coefficients of the polynomial that drives the singular values towards 1.
    adam_beta_1, adam_beta_2, epsilon, adam_lr_ratio : float
    rms_rate : float or None
        Root of the mean square of an element of the step.
    weight_decay, adam_weight_decay : float, optional
        Of the weights that Muon moves, and of those that Adam does.
    exclude_layers : sequence of str, optional
        Regular expressions; a weight whose path ("block/dense/kernel") has one of them in it follows Adam.
    exclude_embeddings : bool
        Weights with "embedding" in their path, in small or large letters, follow Adam.
    """

    kernel = "muon"
    lazy_form = False

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: Scheduled = 0.004,
        epsilon: float = 1e-7,
        weight_decay: Scheduled = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: Scheduled = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        name: str = "muon",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.adam_beta_1 = number(self, "adam_beta_1", adam_beta_1, 0.0, 1.0)
        self.adam_beta_2 = number(self, "adam_beta_2", adam_beta_2, 0.0, 1.0)
        self.adam_weight_decay = optional(self, "adam_weight_decay", adam_weight_decay)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)
        self.exclude_layers = _expressions(exclude_layers)
        self.exclude_embeddings = bool(exclude_embeddings)
        self.muon_a, self.muon_b, self.muon_c = float(muon_a), float(muon_b), float(muon_c)
        self.adam_lr_ratio = number(self, "adam_lr_ratio", adam_lr_ratio, 0.0, math.inf)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.ns_steps = int(number(self, "ns_steps", ns_steps, 0, 100))
        self.nesterov = bool(nesterov)
        self.rms_rate = None if rms_rate is None else number(self, "rms_rate", rms_rate, 1e-300, math.inf)

    def values(self) -> dict[str, Any]:
        return {**super().values(), "rms_rate": self.rms_rate or 0.0, "adam_weight_decay": self.adam_weight_decay or 0.0}

    def shape_of(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        by_adam = (self.exclude_embeddings and "embedding" in path.lower()) or any(
            re.search(expression, path) for expression in self.exclude_layers or ()
        )
        return (math.prod(shape),) if by_adam else shape


def _expressions(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Regular expressions, or None; an error that names the one that is not."""
    if given is None:
        return None
    if isinstance(given, str):
        raise TypeError(f"Muon: exclude_layers must be a sequence of strings, got {given!r}")
    for expression in given:
        try:
            re.compile(expression)
        except (TypeError, re.error) as error:
            raise ValueError(f"Muon: exclude_layers holds {expression!r}, which is no regular expression: {error}") from None
    return tuple(given)
