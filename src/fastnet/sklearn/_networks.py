"""The networks of the estimators: their layers, first weights and optimizers, as scikit-learn has them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import layers, optimizers, regularizers
from .._scaling import Scaling
from ..layers import Input
from ..model import Model
from ..schedules import LearningRateSchedule

__all__ = ["Penalty", "build_network", "first_weights", "hidden_sizes", "make_optimizer", "set_decay"]

#: What scikit-learn calls activations otherwise.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}


class _LastBatch(LearningRateSchedule):
    """A value in the last step of each epoch, 0 in the others."""

    def __init__(self, value: float, steps_per_epoch: int) -> None:
        self.value, self.steps_per_epoch = value, steps_per_epoch

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return np.where((steps + 1) % self.steps_per_epoch == 0, self.value, 0.0)


class Penalty:
    """``alpha / 2 * sum(w**2)`` divided by the rows of a batch, as scikit-learn has it.

    Layers have the penalty of a full batch; what is more of it in the last batch of an epoch, where that is smaller, is a decay of the
    weights in that step.

    Parameters
    ----------
    alpha : float
    n_samples : int
        Rows of an epoch.
    batch_size : int
    mean_weight : float
        Of the rows.
    """

    def __init__(self, alpha: float, n_samples: int, batch_size: int, mean_weight: float = 1.0) -> None:
        self.l2 = 0.5 * alpha / (batch_size * mean_weight)
        left, self.n_samples = n_samples % batch_size, n_samples
        #: How much larger the penalty of the last batch is than that of the others, as a factor of it.
        self.more = batch_size / left - 1 if left and alpha else 0.0
        self.left, self.steps = left, math.ceil(n_samples / batch_size)

    @property
    def decay(self) -> _LastBatch | None:
        """The decay in the last step of an epoch; None: there is none."""
        return _LastBatch(2 * self.l2 * self.more, self.steps) if self.more else None

    def put_on(self, dense: Sequence[layers.Dense]) -> bool:
        """Gives layers the penalty of a full batch; whether they had another one."""
        penalty = regularizers.L2(self.l2) if self.l2 else None
        changed = False
        for layer in dense:
            kernel = layer.weights[0]
            changed |= (kernel.regularizer.l2 if kernel.regularizer is not None else 0.0) != self.l2
            layer.kernel_regularizer = kernel.regularizer = penalty
        return changed

    def missing(self, kernels: Sequence[Any]) -> float:
        """What the loss of an epoch lacks, by the weights at its end."""
        squares = sum(float(np.vdot(kernel, kernel)) for kernel in (np.asarray(kernel) for kernel in kernels))
        return self.l2 * squares * self.more * self.left / self.n_samples


def hidden_sizes(options: Any) -> list[int]:
    """Units of the hidden layers; ValueError for those that are none."""
    given = options.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be positive integers, got {given!r}")
    return [int(size) for size in sizes]


def first_weights(options: Any, units: Sequence[int], random_state: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer: the numbers that scikit-learn's networks begin with, for the same state.

    Uniform between plus and minus ``sqrt(6 / (in + out))``, of the logistic function ``sqrt(2 / (in + out))`` (Glorot and Bengio, 2010).
    """
    factor = 2.0 if options.activation == "logistic" else 6.0
    found = []
    for n_in, n_out in pairwise(units):
        bound = math.sqrt(factor / (n_in + n_out))
        kernel = random_state.uniform(-bound, bound, (n_in, n_out))
        found.append((kernel, random_state.uniform(-bound, bound, n_out)))
    return found


def build_network(
    options: Any, scaling: Scaling, n_features: int, n_outputs: int, seed: int, dtype: str
) -> tuple[Model, list[layers.Dense]]:
    """The network of one member, and the dense layers of it that are not the user's.

    Its output is linear: probabilities are made of it by the estimator.

    Raises
    ------
    TypeError, ValueError
        For layers that are none, or do not fit.
    """
    given = Input((n_features,))
    x = scaling.apply(given)
    dense: list[layers.Dense] = []
    if options.layers is None:
        sizes = hidden_sizes(options)
        dropout = options.dropout if hasattr(options.dropout, "__iter__") else [options.dropout] * len(sizes)
        if len(dropout) != len(sizes):
            raise ValueError(f"dropout has {len(dropout)} rates for {len(sizes)} hidden layers")
        activation = _ACTIVATIONS.get(options.activation, options.activation) if isinstance(options.activation, str) else None
        for size, rate in zip(sizes, dropout):
            dense.append(layers.Dense(size, activation or copy.deepcopy(options.activation)))
            x = dense[-1](x)
            if rate:
                x = layers.Dropout(rate)(x)
    elif callable(options.layers) and not isinstance(options.layers, layers.Layer):
        x = options.layers(x)
    else:
        hidden = [options.layers] if isinstance(options.layers, layers.Layer) else list(options.layers)
        for layer in copy.deepcopy(hidden):
            if not isinstance(layer, layers.Layer):
                raise TypeError(f"layers must be layers of fastnet, or a function of a tensor, got {layer!r}")
            x = layer(x)
    if len(x.shape) != 2:
        raise ValueError(f"layers must end with a vector for each row, got shape {x.shape}: a Flatten may be missing")
    last = layers.Dense(n_outputs)
    model = Model(given, last(x), seed=seed, dtype=dtype)
    return model, [*dense, last]


def set_decay(optimizer: optimizers.Optimizer, options: Any, penalty: Penalty | None) -> None:
    """Makes the optimizer do what of a penalty the layers do not have; None: nothing, so that files of the model hold no trace of it."""
    if options.solver in ("adam", "sgd"):
        optimizer.weight_decay = None if penalty is None else penalty.decay


def make_optimizer(options: Any) -> optimizers.Optimizer:
    """The optimizer of one member; ValueError for a name that is none."""
    solver, rate = options.solver, options.learning_rate_init
    if isinstance(solver, optimizers.Optimizer):
        return type(solver).from_config(solver.get_config())
    if not isinstance(options.learning_rate, str):
        rate = options.learning_rate
    around = {"exclude_from_weight_decay": ("bias",)}
    if solver == "adam":
        optimizer = optimizers.Adam(rate, options.beta_1, options.beta_2, options.epsilon, **around)
    elif solver == "sgd":
        optimizer = optimizers.SGD(rate, options.momentum, options.nesterovs_momentum and options.momentum > 0, **around)
    elif solver == "lbfgs":
        return optimizers.LBFGS(tolerance_gradient=options.tol)
    else:
        optimizer = optimizers.get(solver)
        optimizer.learning_rate = rate
        return optimizer
    optimizer.decoupled_weight_decay = False
    return optimizer
