"""What the engine computes, in float64 NumPy: plain, slow and easily read.

Tables by the names of the engine's registries: OPS, ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS. Tests go over the
registries and look here; an entry without a reference fails.

Arrays have the batch as first axis. Attributes are keyword arguments with the engine's names and defaults.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np
import reference_layerwise
from scipy import special

# ---- activations -------------------------------------------------------------------------------


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


#: In the order of the engine, where an activation is known by its number.
ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x, lambda x, alpha: np.ones_like(x)),
    "relu": Activation(lambda x, alpha: np.maximum(x, 0), lambda x, alpha: (x > 0) * 1.0),
    "leaky_relu": Activation(
        lambda x, alpha: np.where(x > 0, x, alpha * x), lambda x, alpha: np.where(x > 0, 1.0, alpha)
    ),
    "elu": Activation(elu, elu_derivative),
    "selu": Activation(
        lambda x, alpha: SELU_SCALE * elu(x, SELU_ALPHA), lambda x, alpha: SELU_SCALE * elu_derivative(x, SELU_ALPHA)
    ),
    "gelu": Activation(
        lambda x, alpha: x * normal_cdf(x), lambda x, alpha: normal_cdf(x) + x * normal_density(x)
    ),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_derivative),
    "silu": Activation(
        lambda x, alpha: x * sigmoid(x), lambda x, alpha: sigmoid(x) * (1 + x * (1 - sigmoid(x)))
    ),
    "mish": Activation(lambda x, alpha: x * np.tanh(softplus(x)), mish_derivative),
    "tanh": Activation(lambda x, alpha: np.tanh(x), lambda x, alpha: 1 - np.tanh(x) ** 2),
    "sigmoid": Activation(lambda x, alpha: sigmoid(x), lambda x, alpha: sigmoid(x) * sigmoid(-x)),
    "softplus": Activation(lambda x, alpha: softplus(x), lambda x, alpha: sigmoid(x)),
    "softsign": Activation(lambda x, alpha: x / (1 + np.abs(x)), lambda x, alpha: 1 / (1 + np.abs(x)) ** 2),
    "hard_sigmoid": Activation(hard_sigmoid, lambda x, alpha: np.where(np.abs(x) < 3, 1 / 6, 0.0)),
    "hard_silu": Activation(lambda x, alpha: x * hard_sigmoid(x, alpha), hard_silu_derivative),
    "relu6": Activation(lambda x, alpha: np.clip(x, 0, 6), lambda x, alpha: ((x > 0) & (x < 6)) * 1.0),
    "exponential": Activation(lambda x, alpha: np.exp(x), lambda x, alpha: np.exp(x)),
}


def activation_of(number):
    """The activation that the engine knows by this number."""
    return list(ACTIVATIONS.values())[int(number)]


# ---- operations --------------------------------------------------------------------------------


@dataclass
class Op:
    """forward(inputs, parameters, **attributes) -> output
    backward(inputs, parameters, dy, **attributes) -> (gradients of the inputs, gradients of the parameters)
    """

    forward: Callable
    backward: Callable


def dense(inputs, parameters, units=1, use_bias=1, activation=0, alpha=0.0):
    return activation_of(activation).forward(dense_linear(inputs, parameters, use_bias), alpha)


def dense_linear(inputs, parameters, use_bias):
    z = inputs[0] @ parameters[0]
    return z + parameters[1] if use_bias else z


def dense_backward(inputs, parameters, dy, units=1, use_bias=1, activation=0, alpha=0.0):
    z = dense_linear(inputs, parameters, use_bias)
    dz = dy * activation_of(activation).derivative(z, alpha)
    dx = dz @ parameters[0].T
    x_rows, dz_rows = inputs[0].reshape(-1, inputs[0].shape[-1]), dz.reshape(-1, dz.shape[-1])
    gradients = [x_rows.T @ dz_rows]
    if use_bias:
        gradients.append(dz_rows.sum(axis=0))
    return [dx], gradients


def activation_forward(inputs, parameters, activation=0, alpha=0.0):
    return activation_of(activation).forward(inputs[0], alpha)


def activation_backward(inputs, parameters, dy, activation=0, alpha=0.0):
    return [dy * activation_of(activation).derivative(inputs[0], alpha)], []


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_backward(inputs, parameters, dy):
    y = softmax(inputs[0])
    return [y * (dy - (dy * y).sum(axis=-1, keepdims=True))], []


def log_softmax_backward(inputs, parameters, dy):
    return [dy - softmax(inputs[0]) * dy.sum(axis=-1, keepdims=True)], []


def multiply_backward(inputs, parameters, dy):
    others = [np.prod([x for j, x in enumerate(inputs) if j != i], axis=0) for i in range(len(inputs))]
    return [dy * other for other in others], []


def extremum_backward(argument):
    """The gradient goes to the first of the inputs that reach the extremum."""

    def backward(inputs, parameters, dy):
        winner = argument(inputs, axis=0)
        return [np.where(winner == i, dy, 0.0) for i in range(len(inputs))], []

    return backward


def concatenate_axis(x, axis):
    """The axis of the array for that of a sample, which leaves out the batch."""
    return int(axis) if axis < 0 else int(axis) + 1


def concatenate(inputs, parameters, axis=-1):
    return np.concatenate(inputs, axis=concatenate_axis(inputs[0], axis))


def concatenate_backward(inputs, parameters, dy, axis=-1):
    axis = concatenate_axis(inputs[0], axis)
    ends = np.cumsum([x.shape[axis] for x in inputs])
    return np.split(dy, ends[:-1], axis=axis), []


def reshape(inputs, parameters, rank=1, **sizes):
    shape = [int(sizes.get(f"size_{i}", -1 if i == 0 else 1)) for i in range(int(rank))]
    return inputs[0].reshape(len(inputs[0]), *shape)


def per_channel(inputs):
    """The axes that a sum over all positions runs over."""
    return tuple(range(inputs.ndim - 1))


def gamma_and_beta(parameters, center, scale):
    """gamma and beta, 1 and 0 where there are none."""
    return parameters[0] if scale else 1.0, parameters[int(scale)] if center else 0.0


def trained_gradients(dgamma, dbeta, center, scale):
    return [dgamma] * int(scale) + [dbeta] * int(center)


def batch_statistics(x, parameters, epsilon, frozen):
    """mean, 1 / deviation"""
    mean, variance = (parameters[-2], parameters[-1]) if frozen else (x.mean(per_channel(x)), x.var(per_channel(x)))
    return mean, 1 / np.sqrt(variance + epsilon)


def batch_normalization(inputs, parameters, momentum=0.99, epsilon=1e-3, center=1, scale=1, frozen=0):
    mean, r = batch_statistics(inputs[0], parameters, epsilon, frozen)
    gamma, beta = gamma_and_beta(parameters, center, scale)
    return (inputs[0] - mean) * r * gamma + beta


def batch_normalization_backward(inputs, parameters, dy, momentum=0.99, epsilon=1e-3, center=1, scale=1, frozen=0):
    x = inputs[0]
    mean, r = batch_statistics(x, parameters, epsilon, frozen)
    gamma, _ = gamma_and_beta(parameters, center, scale)
    h = (x - mean) * r
    axes = per_channel(x)
    dx = gamma * r * dy
    if not frozen:
        dx = gamma * r * (dy - dy.mean(axes) - h * (dy * h).mean(axes))
    gradients = trained_gradients((dy * h).sum(axes), dy.sum(axes), center, scale)
    return [dx], [*gradients, None, None]  # the moving statistics have none


def normalize_over(x, axes, epsilon, center=True):
    """x less its mean, over its deviation; and 1 / deviation."""
    m = x.mean(axes, keepdims=True) if center else 0.0
    r = 1 / np.sqrt(((x - m) ** 2).mean(axes, keepdims=True) + epsilon)
    return (x - m) * r, r


def normalize_backward(h, r, g, axes, center=True):
    """From the gradient g of h to that of x."""
    shift = g.mean(axes, keepdims=True) if center else 0.0
    return r * (g - shift - h * (g * h).mean(axes, keepdims=True))


def layer_normalization(inputs, parameters, epsilon=1e-3, center=1, scale=1):
    gamma, beta = gamma_and_beta(parameters, center, scale)
    return normalize_over(inputs[0], -1, epsilon)[0] * gamma + beta


def layer_normalization_backward(inputs, parameters, dy, epsilon=1e-3, center=1, scale=1):
    gamma, _ = gamma_and_beta(parameters, center, scale)
    h, r = normalize_over(inputs[0], -1, epsilon)
    axes = per_channel(dy)
    gradients = trained_gradients((dy * h).sum(axes), dy.sum(axes), center, scale)
    return [normalize_backward(h, r, dy * gamma, -1)], gradients


def rms_normalization(inputs, parameters, epsilon=1e-6):
    return normalize_over(inputs[0], -1, epsilon, False)[0] * parameters[0]


def rms_normalization_backward(inputs, parameters, dy, epsilon=1e-6):
    h, r = normalize_over(inputs[0], -1, epsilon, False)
    return [normalize_backward(h, r, dy * parameters[0], -1, False)], [(dy * h).sum(per_channel(dy))]


def by_groups(x, groups):
    """[rows][positions][groups][channels of a group]"""
    groups = x.shape[-1] if groups == -1 else int(groups)
    return x.reshape(len(x), -1, groups, x.shape[-1] // groups)


def group_normalization(inputs, parameters, groups=32, epsilon=1e-3, center=1, scale=1):
    x = inputs[0]
    gamma, beta = gamma_and_beta(parameters, center, scale)
    return normalize_over(by_groups(x, groups), (1, 3), epsilon)[0].reshape(x.shape) * gamma + beta


def group_normalization_backward(inputs, parameters, dy, groups=32, epsilon=1e-3, center=1, scale=1):
    x = inputs[0]
    gamma, _ = gamma_and_beta(parameters, center, scale)
    h, r = normalize_over(by_groups(x, groups), (1, 3), epsilon)
    dx = normalize_backward(h, r, by_groups(dy * gamma, groups), (1, 3)).reshape(x.shape)
    axes = per_channel(x)
    return [dx], trained_gradients((dy * h.reshape(x.shape)).sum(axes), dy.sum(axes), center, scale)


def affine(inputs, parameters, per_feature=1, scale=1.0, shift=0.0):
    scale, shift = parameters if per_feature else (scale, shift)
    return inputs[0] * scale + shift


def affine_backward(inputs, parameters, dy, per_feature=1, scale=1.0, shift=0.0):
    return [dy * (parameters[0] if per_feature else scale)], [None, None] if per_feature else []


def philox(key, high, low):
    """Philox4x32-10 of a key and the two halves of a counter: four words."""
    words = [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [(b >> 32) ^ words[1] ^ keys[0], b & 0xFFFFFFFF, (a >> 32) ^ words[3] ^ keys[1], a & 0xFFFFFFFF]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words


def random_words(n, seed=-1, model_seed=0, node=0, step=0):
    """Words of the first n elements of a node: in each group of 64, first those of the blocks' first words."""
    key = model_seed if seed < 0 else (int(seed) + 1) * 0x9E3779B97F4A7C15 % 2**64
    blocks = [philox(key, 2 << 56 | node << 32 | block, step) for block in range(-(-n // 64) * 16)]
    return np.array(blocks, np.uint64).reshape(-1, 16, 4).swapaxes(1, 2).ravel()[:n]


def random_normals(n, **stream):
    return special.ndtri((random_words(n, **stream) + 0.5) / 2**32)


def factor_shape(x, shared):
    """That of the factors of a dropout; to be broadcast."""
    return (len(x), *[1] * (x.ndim - 2), x.shape[-1]) if shared else x.shape


def is_kept(x, rate, shared, seed):
    """Which elements a dropout leaves, as the first node of a plan in step 0 of a model with seed 0."""
    shape = factor_shape(x, shared)
    return random_words(int(np.prod(shape)), seed=seed).reshape(shape) >= int(rate * 2**32)


def dropout(inputs, parameters, rate=0.5, shared=0, seed=-1):
    return inputs[0] * is_kept(inputs[0], rate, shared, seed) / (1 - rate)


def dropout_backward(inputs, parameters, dy, rate=0.5, shared=0, seed=-1):
    return [dy * is_kept(dy, rate, shared, seed) / (1 - rate)], []


def alpha_dropout_constants(rate):
    alpha = -SELU_ALPHA * SELU_SCALE
    a = ((1 - rate) * (1 + rate * alpha**2)) ** -0.5
    return alpha, a, -a * alpha * rate


def alpha_dropout(inputs, parameters, rate=0.5, shared=0, seed=-1):
    alpha, a, b = alpha_dropout_constants(rate)
    return a * np.where(is_kept(inputs[0], rate, shared, seed), inputs[0], alpha) + b


def alpha_dropout_backward(inputs, parameters, dy, rate=0.5, shared=0, seed=-1):
    return [alpha_dropout_constants(rate)[1] * is_kept(dy, rate, shared, seed) * dy], []


def gaussian_factors(x, rate, shared, seed):
    shape = factor_shape(x, shared)
    return 1 + np.sqrt(rate / (1 - rate)) * random_normals(int(np.prod(shape)), seed=seed).reshape(shape)


def gaussian_dropout(inputs, parameters, rate=0.5, shared=0, seed=-1):
    return inputs[0] * gaussian_factors(inputs[0], rate, shared, seed)


def gaussian_dropout_backward(inputs, parameters, dy, rate=0.5, shared=0, seed=-1):
    return [dy * gaussian_factors(dy, rate, shared, seed)], []


def gaussian_noise(inputs, parameters, stddev=1.0, seed=-1):
    return inputs[0] + stddev * random_normals(inputs[0].size, seed=seed).reshape(inputs[0].shape)


def activity_penalty(inputs, parameters, l1=0.0, l2=0.0):
    x = inputs[0]
    return (l1 * np.abs(x).sum() + l2 * (x**2).sum()) / len(x)


def activity_regularization_backward(inputs, parameters, dy, l1=0.0, l2=0.0):
    x = inputs[0]
    return [dy + (l1 * np.sign(x) + 2 * l2 * x) / len(x)], []


def unit_vectors(kernel, by_columns):
    """The rows or columns of a kernel, each divided by its norm, and the norms."""
    vectors = kernel.T if by_columns else kernel
    norms = np.sqrt(np.maximum((vectors**2).sum(axis=1, keepdims=True), 1e-12))
    return vectors / norms, norms


def orthogonal_penalty(inputs, parameters, rows=1, columns=1, factor=0.01, by_columns=0):
    units, _ = unit_vectors(parameters[0], by_columns)
    pairs = [abs(units[i] @ units[j]) for i in range(len(units)) for j in range(i)]
    return factor * np.mean(pairs) if pairs else 0.0


def orthogonal_regularization_backward(inputs, parameters, dy, rows=1, columns=1, factor=0.01, by_columns=0):
    units, norms = unit_vectors(parameters[0], by_columns)
    signs = np.sign(units @ units.T) - np.eye(len(units))
    slope = factor / max(len(units) * (len(units) - 1) / 2, 1) * signs @ units
    slope = (slope - units * (units * slope).sum(axis=1, keepdims=True)) / norms
    return [dy], [slope.T if by_columns else slope]


#: What operations add to the loss, beside their output: (inputs, parameters, **attributes) -> number.
LOSS_TERMS = {"activity_regularization": activity_penalty, "orthogonal_regularization": orthogonal_penalty}

OPS = {
    "activity_regularization": Op(lambda inputs, parameters, **attributes: inputs[0], activity_regularization_backward),
    "orthogonal_regularization": Op(lambda inputs, parameters, **attributes: inputs[0], orthogonal_regularization_backward),
    "affine": Op(affine, affine_backward),
    "alpha_dropout": Op(alpha_dropout, alpha_dropout_backward),
    "batch_normalization": Op(batch_normalization, batch_normalization_backward),
    "dropout": Op(dropout, dropout_backward),
    "gaussian_dropout": Op(gaussian_dropout, gaussian_dropout_backward),
    "gaussian_noise": Op(gaussian_noise, lambda inputs, parameters, dy, **attributes: ([dy], [])),
    "group_normalization": Op(group_normalization, group_normalization_backward),
    "layer_normalization": Op(layer_normalization, layer_normalization_backward),
    "rms_normalization": Op(rms_normalization, rms_normalization_backward),
    "dense": Op(dense, dense_backward),
    "activation": Op(activation_forward, activation_backward),
    "softmax": Op(lambda inputs, parameters: softmax(inputs[0]), softmax_backward),
    "log_softmax": Op(lambda inputs, parameters: log_softmax(inputs[0]), log_softmax_backward),
    "add": Op(
        lambda inputs, parameters: np.sum(inputs, axis=0),
        lambda inputs, parameters, dy: ([dy for _ in inputs], []),
    ),
    "subtract": Op(
        lambda inputs, parameters: inputs[0] - inputs[1],
        lambda inputs, parameters, dy: ([dy, -dy], []),
    ),
    "multiply": Op(lambda inputs, parameters: np.prod(inputs, axis=0), multiply_backward),
    "average": Op(
        lambda inputs, parameters: np.mean(inputs, axis=0),
        lambda inputs, parameters, dy: ([dy / len(inputs) for _ in inputs], []),
    ),
    "maximum": Op(lambda inputs, parameters: np.max(inputs, axis=0), extremum_backward(np.argmax)),
    "minimum": Op(lambda inputs, parameters: np.min(inputs, axis=0), extremum_backward(np.argmin)),
    "concatenate": Op(concatenate, concatenate_backward),
    "reshape": Op(
        reshape,
        lambda inputs, parameters, dy, **attributes: ([dy.reshape(inputs[0].shape)], []),
    ),
}

# ---- losses ------------------------------------------------------------------------------------

EPSILON = 1e-7


@dataclass
class Loss:
    """value(target, prediction, **attributes): the loss of each position
    gradient(target, prediction, **attributes): d loss[position] / d prediction[position]
    labels: targets are class numbers, without the last axis
    """

    value: Callable
    gradient: Callable
    labels: bool = False


def mean_of(value, derivative):
    """The loss whose value is the mean over the last axis of a function of each element."""
    return Loss(
        lambda t, p, **attributes: value(t, p, **attributes).mean(axis=-1),
        lambda t, p, **attributes: derivative(t, p, **attributes) / p.shape[-1],
    )


def huber(t, p, delta=1.0):
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2)


def huber_derivative(t, p, delta=1.0):
    return np.clip(p - t, -delta, delta)


def log_cosh(t, p):
    e = np.abs(p - t)
    # log cosh e, which is log1p(2 sinh(e / 2)^2), without overflow for large e
    return np.where(e < 1, np.log1p(2 * np.sinh(np.minimum(e, 1) / 2) ** 2), e + np.log1p(np.exp(-2 * e)) - np.log(2))


def binary_crossentropy(t, p, from_logits=0, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        return t * softplus(-p) + (1 - t) * softplus(p)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def binary_crossentropy_derivative(t, p, from_logits=0, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        return sigmoid(p) - t
    inside = (p >= EPSILON) & (p <= 1 - EPSILON)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.where(inside, -t / p + (1 - t) / (1 - p), 0.0)


def smooth_classes(t, label_smoothing):
    return t * (1 - label_smoothing) + label_smoothing / t.shape[-1]


def categorical_crossentropy(t, p, from_logits=0, label_smoothing=0.0):
    t = smooth_classes(t, label_smoothing)
    if from_logits:
        return -np.where(t != 0, t * log_softmax(p), 0.0).sum(axis=-1)
    q = p / p.sum(axis=-1, keepdims=True)
    return -(t * np.log(np.clip(q, EPSILON, 1 - EPSILON))).sum(axis=-1)


def categorical_crossentropy_gradient(t, p, from_logits=0, label_smoothing=0.0):
    t = smooth_classes(t, label_smoothing)
    if from_logits:
        return t.sum(axis=-1, keepdims=True) * softmax(p) - t
    total = p.sum(axis=-1, keepdims=True)
    q = p / total
    inside = (q >= EPSILON) & (q <= 1 - EPSILON)
    dq = np.where(inside, -t / np.where(inside, q, 1.0), 0.0)
    return (dq - (dq * q).sum(axis=-1, keepdims=True)) / total


def one_hot(labels, n_classes):
    return np.eye(n_classes)[labels.astype(int)]


def hinge_targets(t):
    return np.where(t == 0, -1.0, t)


def kl_divergence(t, p):
    t, p = np.clip(t, EPSILON, 1), np.clip(p, EPSILON, 1)
    return (t * np.log(t / p)).sum(axis=-1)


def kl_divergence_gradient(t, p):
    inside = (p >= EPSILON) & (p <= 1)
    return np.where(inside, -np.clip(t, EPSILON, 1) / np.clip(p, EPSILON, 1), 0.0)


LOSSES = {
    "mean_squared_error": mean_of(lambda t, p: (p - t) ** 2, lambda t, p: 2 * (p - t)),
    "mean_absolute_error": mean_of(lambda t, p: np.abs(p - t), lambda t, p: np.sign(p - t)),
    "huber": mean_of(huber, huber_derivative),
    "log_cosh": mean_of(log_cosh, lambda t, p: np.tanh(p - t)),
    "binary_crossentropy": mean_of(binary_crossentropy, binary_crossentropy_derivative),
    "categorical_crossentropy": Loss(categorical_crossentropy, categorical_crossentropy_gradient),
    "sparse_categorical_crossentropy": Loss(
        lambda t, p, **attributes: categorical_crossentropy(one_hot(t, p.shape[-1]), p, **attributes),
        lambda t, p, **attributes: categorical_crossentropy_gradient(one_hot(t, p.shape[-1]), p, **attributes),
        labels=True,
    ),
    "hinge": mean_of(
        lambda t, p: np.maximum(1 - hinge_targets(t) * p, 0),
        lambda t, p: np.where(hinge_targets(t) * p < 1, -hinge_targets(t), 0.0),
    ),
    "kl_divergence": Loss(kl_divergence, kl_divergence_gradient),
    "poisson": mean_of(lambda t, p: p - t * np.log(p + EPSILON), lambda t, p: 1 - t / (p + EPSILON)),
}


def batch_loss(name, target, prediction, weight=None, **attributes):
    """What a batch adds to the loss, and its gradient: the mean over positions of weight times loss."""
    loss = LOSSES[name]
    value = loss.value(target, prediction, **attributes)
    weight = np.ones(len(prediction)) if weight is None else np.asarray(weight, np.float64)
    weight = weight.reshape(-1, *[1] * (value.ndim - 1)) / value.size
    gradient = loss.gradient(target, prediction, **attributes)
    return (weight * value).sum(), weight[..., np.newaxis] * gradient

# ---- metrics -----------------------------------------------------------------------------------


@dataclass
class Metric:
    """accumulators(target, prediction, **attributes): the engine's sums over all positions
    labels: targets are class numbers, without the last axis
    """

    accumulators: Callable
    labels: bool = False


def rows_of(array, width):
    return np.reshape(array, (-1, width))


def mean_accumulators(terms):
    return np.array([np.sum(terms), np.size(terms)], np.float64)


def binary_hits(t, p, threshold=0.5):
    return np.where(p > threshold, t == 1, (t == 0) | (t == -1))


def top_k_hits(labels, p, k):
    own = np.take_along_axis(p, labels[..., np.newaxis].astype(int), axis=-1)
    return (p > own).sum(axis=-1) < k


def r2_accumulators(t, p):
    t, p = rows_of(t, p.shape[-1]), rows_of(p, p.shape[-1])
    return np.concatenate([[len(t)], t.sum(axis=0), (t**2).sum(axis=0), ((t - p) ** 2).sum(axis=0)])


def auc_accumulators(t, p, num_thresholds=200, from_logits=0):
    p = sigmoid(p.ravel()) if from_logits else np.clip(p.ravel(), 0, 1)
    t = t.ravel().astype(np.float64)
    n = int(num_thresholds)
    thresholds = np.concatenate([[-EPSILON], np.arange(1, n - 1) / (n - 1), [1 + EPSILON]])
    above = p[:, np.newaxis] > thresholds
    true_positives = (above * t[:, np.newaxis]).sum(axis=0)
    false_positives = (above * (1 - t[:, np.newaxis])).sum(axis=0)
    # The engine keeps what lies between thresholds.
    return np.concatenate([true_positives - np.append(true_positives[1:], 0),
                           false_positives - np.append(false_positives[1:], 0)])


def confusion_accumulators(positive, predicted):
    """For arrays of booleans [positions][classes]."""
    return np.concatenate([
        [len(positive)],
        (positive & predicted).sum(axis=0),
        (~positive & predicted).sum(axis=0),
        (positive & ~predicted).sum(axis=0),
    ]).astype(np.float64)


def binary_confusion(t, p, threshold=0.5):
    width = p.shape[-1]
    return confusion_accumulators(rows_of(t, width) > 0, rows_of(p, width) > threshold)


def categorical_confusion(t, p):
    width = p.shape[-1]
    labels = t if t.ndim < p.ndim else t.argmax(axis=-1)
    return confusion_accumulators(
        one_hot(labels.ravel(), width) > 0, one_hot(p.argmax(axis=-1).ravel(), width) > 0
    )


METRICS = {
    "binary_accuracy": Metric(lambda t, p, threshold=0.5: mean_accumulators(binary_hits(t, p, threshold))),
    "categorical_accuracy": Metric(lambda t, p: mean_accumulators(t.argmax(axis=-1) == p.argmax(axis=-1))),
    "sparse_categorical_accuracy": Metric(lambda t, p: mean_accumulators(t == p.argmax(axis=-1)), labels=True),
    "top_k_categorical_accuracy": Metric(lambda t, p, k=5: mean_accumulators(top_k_hits(t.argmax(axis=-1), p, k))),
    "sparse_top_k_categorical_accuracy": Metric(
        lambda t, p, k=5: mean_accumulators(top_k_hits(t, p, k)), labels=True
    ),
    "mean_squared_error": Metric(lambda t, p: mean_accumulators((p - t) ** 2)),
    "mean_absolute_error": Metric(lambda t, p: mean_accumulators(np.abs(p - t))),
    "r2_score": Metric(r2_accumulators),
    "auc": Metric(auc_accumulators),
    "binary_confusion": Metric(binary_confusion),
    "categorical_confusion": Metric(categorical_confusion),
}

# ---- optimizers --------------------------------------------------------------------------------


@dataclass
class Optimizer:
    """slots(hyper) -> {name: start value}
    update(w, g, slots, hyper, step) -> (w, slots), where slots is a dictionary of arrays and steps count from 0
    per_parameter: w is one parameter in its shape; otherwise it may be any numbers
    """

    slots: Callable
    update: Callable
    per_parameter: bool = False


def sgd(w, g, slots, hyper, step):
    rate, momentum, nesterov = hyper["learning_rate"], hyper["momentum"], hyper["nesterov"]
    if momentum == 0:
        return w - rate * g, {}
    share = 1 if step == 0 else 1 - hyper.get("dampening", 0)
    if hyper.get("pytorch"):
        v = momentum * slots["momentum"] + share * g
        return w - rate * (g + momentum * v if nesterov else v), {"momentum": v}
    v = momentum * slots["momentum"] - rate * share * g
    return w + (momentum * v - rate * g if nesterov else v), {"momentum": v}


def adagrad(w, g, slots, hyper, step):
    n = slots["squares"] + g**2
    rate = hyper["learning_rate"] / (1 + step * hyper["lr_decay"])
    root = np.sqrt(n) + hyper["epsilon"] if hyper["pytorch"] else np.sqrt(n + hyper["epsilon"])
    return w - rate * g / root, {"squares": n}


def adadelta(w, g, slots, hyper, step):
    rho, epsilon = hyper["rho"], hyper["epsilon"]
    n = rho * slots["accumulated_grad"] + (1 - rho) * g**2
    delta = np.sqrt(slots["accumulated_delta_var"] + epsilon) / np.sqrt(n + epsilon) * g
    d = rho * slots["accumulated_delta_var"] + (1 - rho) * delta**2
    return w - hyper["learning_rate"] * delta, {"accumulated_grad": n, "accumulated_delta_var": d}


def rmsprop_slots(hyper):
    names = ["velocity"] + ["average_gradient"] * bool(hyper["centered"]) + ["momentum"] * bool(hyper["momentum"])
    return dict.fromkeys(names, 0.0)


def rmsprop(w, g, slots, hyper, step):
    rho, rate, epsilon = hyper["rho"], hyper["learning_rate"], hyper["epsilon"]
    after = {"velocity": rho * slots["velocity"] + (1 - rho) * g**2}
    variance = after["velocity"]
    if hyper["centered"]:
        after["average_gradient"] = rho * slots["average_gradient"] + (1 - rho) * g
        variance = np.maximum(variance - after["average_gradient"] ** 2, 0)
    ratio = g / (np.sqrt(variance) + epsilon) if hyper["pytorch"] else g / np.sqrt(variance + epsilon)
    if not hyper["momentum"]:
        return w - rate * ratio, after
    if hyper["pytorch"]:
        after["momentum"] = hyper["momentum"] * slots["momentum"] + ratio
        return w - rate * after["momentum"], after
    after["momentum"] = hyper["momentum"] * slots["momentum"] + rate * ratio
    return w - after["momentum"], after


def moments(g, slots, hyper):
    """Averages of gradients and of their squares."""
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    v = hyper["beta_2"] * slots["velocity"] + (1 - hyper["beta_2"]) * g**2
    return m, v


def adam_slots(hyper):
    return {"momentum": 0.0, "velocity": 0.0} | ({"velocity_hat": 0.0} if hyper.get("amsgrad") else {})


def adam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    after = {"momentum": m, "velocity": v}
    if hyper.get("amsgrad"):
        v = after["velocity_hat"] = np.maximum(slots["velocity_hat"], v)
    correction_1, correction_2 = 1 - hyper["beta_1"] ** t, 1 - hyper["beta_2"] ** t
    if hyper.get("pytorch"):
        return w - hyper["learning_rate"] * (m / correction_1) / (np.sqrt(v / correction_2) + hyper["epsilon"]), after
    alpha = hyper["learning_rate"] * np.sqrt(correction_2) / correction_1
    return w - alpha * m / (np.sqrt(v) + hyper["epsilon"]), after


def yogi(w, g, slots, hyper, step):
    t = step + 1
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    v = slots["velocity"] - (1 - hyper["beta_2"]) * np.sign(slots["velocity"] - g**2) * g**2
    alpha = hyper["learning_rate"] * np.sqrt(1 - hyper["beta_2"] ** t) / (1 - hyper["beta_1"] ** t)
    return w - alpha * m / (np.sqrt(v) + hyper["epsilon"]), {"momentum": m, "velocity": v}


def adamax(w, g, slots, hyper, step):
    m = hyper["beta_1"] * slots["momentum"] + (1 - hyper["beta_1"]) * g
    size = np.abs(g) + hyper["epsilon"] if hyper["pytorch"] else np.abs(g)
    u = np.maximum(hyper["beta_2"] * slots["norm"], size)
    alpha = hyper["learning_rate"] / (1 - hyper["beta_1"] ** (step + 1))
    return w - alpha * m / (u if hyper["pytorch"] else u + hyper["epsilon"]), {"momentum": m, "norm": u}


def nadam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    mu = hyper["beta_1"] * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * hyper["momentum_decay"]))
    nesterov = mu[-1] * m / (1 - mu.prod()) + (1 - mu[-2]) * g / (1 - mu[:-1].prod())
    root = np.sqrt(v / (1 - hyper["beta_2"] ** t))
    return w - hyper["learning_rate"] * nesterov / (root + hyper["epsilon"]), {"momentum": m, "velocity": v}


def rectification(beta_2, t):
    """Of Liu et al. (2020); None while it is not defined."""
    limit = 2 / (1 - beta_2) - 1
    rho = limit - 2 * t * beta_2**t / (1 - beta_2**t)
    return np.sqrt((rho - 4) / (limit - 4) * (rho - 2) / (limit - 2) * limit / rho) if rho > 5 else None


def radam(w, g, slots, hyper, step):
    t = step + 1
    m, v = moments(g, slots, hyper)
    r = rectification(hyper["beta_2"], t)
    descent = m / (1 - hyper["beta_1"] ** t)
    if r is not None:
        descent = r * descent * np.sqrt(1 - hyper["beta_2"] ** t) / (np.sqrt(v) + hyper["epsilon"])
    return w - hyper["learning_rate"] * descent, {"momentum": m, "velocity": v}


def adabelief(w, g, slots, hyper, step):
    t, beta_1, beta_2, epsilon = step + 1, hyper["beta_1"], hyper["beta_2"], hyper["epsilon"]
    m = beta_1 * slots["momentum"] + (1 - beta_1) * g
    s = beta_2 * slots["variance"] + (1 - beta_2) * (g - m) ** 2 + epsilon
    after = {"momentum": m, "variance": s}
    if hyper["amsgrad"]:
        s = after["variance_hat"] = np.maximum(slots["variance_hat"], s)
    correction = 1 - beta_2**t
    descent = m / (1 - beta_1**t)
    if not hyper["rectify"]:
        descent = descent / (np.sqrt(s / correction) + epsilon)
    elif (r := rectification(beta_2, t)) is not None:
        descent = r * descent * np.sqrt(correction) / (np.sqrt(s) + epsilon)
    return w - hyper["learning_rate"] * descent, after


def ftrl(w, g, slots, hyper, step):
    rate, p = hyper["learning_rate"], -hyper["learning_rate_power"]
    n = slots["squares"] + g**2
    sigma = (n**p - slots["squares"] ** p) / rate
    z = slots["linear"] + g + 2 * hyper["l2_shrinkage_regularization_strength"] * w - sigma * w
    clipped = np.clip(z, -hyper["l1_regularization_strength"], hyper["l1_regularization_strength"])
    denominator = (n**p + hyper["beta"]) / rate + 2 * hyper["l2_regularization_strength"]
    return (clipped - z) / denominator, {"squares": n, "linear": z}


def lion(w, g, slots, hyper, step):
    beta_1, beta_2, m = hyper["beta_1"], hyper["beta_2"], slots["momentum"]
    w = w - hyper["learning_rate"] * np.sign(beta_1 * m + (1 - beta_1) * g)
    return w, {"momentum": beta_2 * m + (1 - beta_2) * g}


def rprop(w, g, slots, hyper, step):
    size = np.where(slots["step_size"] == 0, hyper["learning_rate"], slots["step_size"])
    agreement = np.sign(g * slots["previous_gradient"])
    size = size * np.where(agreement > 0, hyper["eta_plus"], np.where(agreement < 0, hyper["eta_minus"], 1))
    size = np.clip(size, hyper["step_min"], hyper["step_max"])
    g = np.where(agreement < 0, 0, g)
    return w - size * np.sign(g), {"step_size": size, "previous_gradient": g}


def schedule_free(y, slots, descent, beta, hyper, step):
    """x and y after z has moved by -descent times the learning rate."""
    k = np.arange(1, step + 2)
    warmup = np.minimum(1, k / hyper["warmup_steps"]) if hyper["warmup_steps"] else np.ones(step + 1)
    weights = k ** hyper["r"] * warmup ** hyper["weight_lr_power"]
    c = weights[-1] / weights.sum()
    z = y + slots["z_minus_y"] - hyper["learning_rate"] * warmup[-1] * descent
    x = (1 - c) * slots["x"] + c * z
    y = (1 - beta) * z + beta * x
    return y, {"x": x, "z_minus_y": z - y}


def schedule_free_sgd(w, g, slots, hyper, step):
    return schedule_free(w, slots, g, hyper["momentum"], hyper, step)


def schedule_free_adamw(w, g, slots, hyper, step):
    v = hyper["beta_2"] * slots["velocity"] + (1 - hyper["beta_2"]) * g**2
    root = np.sqrt(v / (1 - hyper["beta_2"] ** (step + 1)))
    w, after = schedule_free(w, slots, g / (root + hyper["epsilon"]), hyper["beta_1"], hyper, step)
    return w, {**after, "velocity": v}


def zeros(*names):
    return lambda hyper: dict.fromkeys(names, 0.0)


#: A slot that starts from NaN starts as a copy of the parameter.
OPTIMIZERS = {
    "sgd": Optimizer(lambda hyper: {"momentum": 0.0} if hyper["momentum"] else {}, sgd),
    "adagrad": Optimizer(lambda hyper: {"squares": hyper["initial_accumulator_value"]}, adagrad),
    "adadelta": Optimizer(zeros("accumulated_grad", "accumulated_delta_var"), adadelta),
    "rmsprop": Optimizer(rmsprop_slots, rmsprop),
    "adam": Optimizer(adam_slots, adam),
    "adamax": Optimizer(zeros("momentum", "norm"), adamax),
    "yogi": Optimizer(
        lambda hyper: dict.fromkeys(("momentum", "velocity"), hyper["initial_accumulator_value"]), yogi
    ),
    "nadam": Optimizer(zeros("momentum", "velocity"), nadam),
    "radam": Optimizer(zeros("momentum", "velocity"), radam),
    "adabelief": Optimizer(
        lambda hyper: {"momentum": 0.0, "variance": 0.0} | ({"variance_hat": 0.0} if hyper["amsgrad"] else {}),
        adabelief,
    ),
    "ftrl": Optimizer(lambda hyper: {"squares": hyper["initial_accumulator_value"], "linear": 0.0}, ftrl),
    "lion": Optimizer(zeros("momentum"), lion),
    "rprop": Optimizer(zeros("step_size", "previous_gradient"), rprop),
    "schedule_free_sgd": Optimizer(lambda hyper: {"x": np.nan, "z_minus_y": 0.0}, schedule_free_sgd),
    "schedule_free_adamw": Optimizer(
        lambda hyper: {"x": np.nan, "z_minus_y": 0.0, "velocity": 0.0}, schedule_free_adamw
    ),
    "lamb": Optimizer(zeros("momentum", "velocity"), reference_layerwise.lamb, True),
    "lars": Optimizer(zeros("momentum"), reference_layerwise.lars, True),
    "adafactor": Optimizer(zeros("rows", "columns"), reference_layerwise.adafactor, True),
    "muon": Optimizer(zeros("momentum", "velocity"), reference_layerwise.muon, True),
}
