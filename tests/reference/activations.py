"""Activations."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass
class Activation:
    """An elementwise function and its derivative, both of x; alpha is its own attribute, where it has one."""

    forward: Callable
    derivative: Callable


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def sigmoid(x):
    return special.expit(x)


def softplus(x):
    return np.logaddexp(x, 0.0)


def normal_cdf(x):
    return special.ndtr(x)


def normal_density(x):
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_derivative(x, alpha):
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def gelu_tanh_inner(x):
    return np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def gelu_tanh(x, alpha):
    return x * (1 + np.tanh(gelu_tanh_inner(x))) / 2


def gelu_tanh_derivative(x, alpha):
    t = np.tanh(gelu_tanh_inner(x))
    inner_derivative = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return (1 + t) / 2 + x * (1 - t**2) * inner_derivative / 2


def mish_derivative(x, alpha):
    t = np.tanh(softplus(x))
    return t + x * (1 - t**2) * sigmoid(x)


def hard_sigmoid(x, alpha):
    return np.clip(x / 6 + 0.5, 0, 1)


def hard_silu_derivative(x, alpha):
    return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5))


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x, lambda x, alpha: np.ones_like(x)),
    "relu": Activation(lambda x, alpha: np.maximum(x, 0), lambda x, alpha: (x > 0) * 1.0),
    "leaky_relu": Activation(lambda x, alpha: np.where(x > 0, x, alpha * x), lambda x, alpha: np.where(x > 0, 1.0, alpha)),
    "elu": Activation(elu, elu_derivative),
    "selu": Activation(
        lambda x, alpha: SELU_SCALE * elu(x, SELU_ALPHA), lambda x, alpha: SELU_SCALE * elu_derivative(x, SELU_ALPHA)
    ),
    "gelu": Activation(lambda x, alpha: x * normal_cdf(x), lambda x, alpha: normal_cdf(x) + x * normal_density(x)),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_derivative),
    "silu": Activation(lambda x, alpha: x * sigmoid(x), lambda x, alpha: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "mish": Activation(lambda x, alpha: x * np.tanh(softplus(x)), mish_derivative),
    "tanh": Activation(lambda x, alpha: np.tanh(x), lambda x, alpha: 1 - np.tanh(x) ** 2),
    "sigmoid": Activation(lambda x, alpha: sigmoid(x), lambda x, alpha: sigmoid(x) * sigmoid(-x)),
    "softplus": Activation(lambda x, alpha: softplus(x), lambda x, alpha: sigmoid(x)),
    "softsign": Activation(lambda x, alpha: x / (1 + np.abs(x)), lambda x, alpha: 1 / (1 + np.abs(x)) ** 2),
    "squareplus": Activation(
        lambda x, alpha: (x + np.sqrt(x**2 + alpha)) / 2, lambda x, alpha: (1 + x / np.sqrt(x**2 + alpha)) / 2
    ),
    "hard_sigmoid": Activation(hard_sigmoid, lambda x, alpha: np.where(np.abs(x) < 3, 1 / 6, 0.0)),
    "hard_silu": Activation(lambda x, alpha: x * hard_sigmoid(x, alpha), hard_silu_derivative),
    "relu6": Activation(lambda x, alpha: np.clip(x, 0, 6), lambda x, alpha: ((x > 0) & (x < 6)) * 1.0),
    "exponential": Activation(lambda x, alpha: np.exp(x), lambda x, alpha: np.exp(x)),
}


def number_of(name):
    """The number of an activation in the engine, which sorts them by name."""
    return sorted(ACTIVATIONS).index(name)


def activation_of(number):
    """The activation that the engine knows by this number."""
    return ACTIVATIONS[sorted(ACTIVATIONS)[int(number)]]


LINEAR = number_of("linear")
