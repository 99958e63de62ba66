"""Operations."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from reference.activations import ACTIVATIONS, LINEAR, SELU_ALPHA, SELU_SCALE, activation_of, number_of


@dataclass
class Op:
    """forward(inputs, parameters, **attributes) -> output
    backward(inputs, parameters, dy, **attributes) -> (gradients of the inputs, gradients of the parameters)
    """

    forward: Callable
    backward: Callable


def dense(inputs, parameters, units=1, use_bias=1, activation=LINEAR, alpha=0.0):
    return activation_of(activation).forward(dense_linear(inputs, parameters, use_bias), alpha)


def dense_linear(inputs, parameters, use_bias):
    z = inputs[0] @ parameters[0]
    return z + parameters[1] if use_bias else z


def dense_backward(inputs, parameters, dy, units=1, use_bias=1, activation=LINEAR, alpha=0.0):
    z = dense_linear(inputs, parameters, use_bias)
    dz = dy * activation_of(activation).derivative(z, alpha)
    dx = dz @ parameters[0].T
    x_rows, dz_rows = inputs[0].reshape(-1, inputs[0].shape[-1]), dz.reshape(-1, dz.shape[-1])
    gradients = [x_rows.T @ dz_rows]
    if use_bias:
        gradients.append(dz_rows.sum(axis=0))
    return [dx], gradients


def transposed_dense(inputs, parameters, units=1):
    return inputs[0] @ parameters[0].T


def transposed_dense_backward(inputs, parameters, dy, units=1):
    x_rows, dy_rows = inputs[0].reshape(-1, inputs[0].shape[-1]), dy.reshape(-1, dy.shape[-1])
    return [dy @ parameters[0]], [dy_rows.T @ x_rows]


def activation_forward(inputs, parameters, activation=LINEAR, alpha=0.0):
    return activation_of(activation).forward(inputs[0], alpha)


def activation_backward(inputs, parameters, dy, activation=LINEAR, alpha=0.0):
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


def batch_normalization(inputs, parameters, momentum=0.99, epsilon=1e-3, center=1, scale=1, frozen=0, synchronized=0):
    mean, r = batch_statistics(inputs[0], parameters, epsilon, frozen)
    gamma, beta = gamma_and_beta(parameters, center, scale)
    return (inputs[0] - mean) * r * gamma + beta


def batch_normalization_backward(
    inputs, parameters, dy, momentum=0.99, epsilon=1e-3, center=1, scale=1, frozen=0, synchronized=0
):
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


def random_words(n, seed=-1, model_seed=0, node=0, step=0, stream=2):
    """Words of the first n elements of a node: in each group of 64, first those of the blocks' first words."""
    key = model_seed if seed < 0 else (int(seed) + 1) * 0x9E3779B97F4A7C15 % 2**64
    blocks = [philox(key, stream << 56 | node << 32 | block, step) for block in range(-(-n // 64) * 16)]
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


def random_numbers(inputs, parameters, distribution=1, a=0.0, b=1.0, seed=-1, fixed=0, counter=0, shared=0, rank=1, **sizes):
    shape = tuple(int(sizes.get(f"size_{axis}", 1)) for axis in range(int(rank)))
    rows = 1 if shared else len(inputs[0])
    stream = {"step": int(counter), "stream": 4} if fixed else {}
    words = random_words(rows * int(np.prod(shape)), seed=seed, **stream)
    if distribution == 0:
        drawn = a + (b - a) * (words + 0.5) / 2**32
    elif distribution == 3:
        drawn = a + np.floor(words * (b - a) / 2**32)
    else:  # of the words those between two quantiles
        first = int(np.ceil(special.ndtr(-2.0) * 2**32)) if distribution == 2 else 0
        drawn = a + b * special.ndtri([(first + (int(w) * (2**32 - 2 * first) >> 32) + 0.5) / 2**32 for w in words])
    return np.broadcast_to(drawn.reshape(rows, *shape), (len(inputs[0]), *shape))


def activity_penalty(inputs, parameters, l1=0.0, l2=0.0, linear=0.0, summed=0):
    x = inputs[0]
    return (linear * x.sum() + l1 * np.abs(x).sum() + l2 * (x**2).sum()) / (1 if summed else len(x))


def activity_regularization_backward(inputs, parameters, dy, l1=0.0, l2=0.0, linear=0.0, summed=0):
    x = inputs[0]
    return [dy + (linear + l1 * np.sign(x) + 2 * l2 * x) / (1 if summed else len(x))], []


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
    "random": Op(random_numbers, lambda inputs, parameters, dy, **attributes: ([0 * inputs[0]], [])),
    "group_normalization": Op(group_normalization, group_normalization_backward),
    "layer_normalization": Op(layer_normalization, layer_normalization_backward),
    "rms_normalization": Op(rms_normalization, rms_normalization_backward),
    "dense": Op(dense, dense_backward),
    "transposed_dense": Op(transposed_dense, transposed_dense_backward),
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

#: Shapes of inputs and parameters (batch of 3), and attributes.
OP_CASES = [
    ("dense", [(3, 4)], [(4, 2), (2,)], {"units": 2}),
    ("dense", [(3, 4)], [(4, 2)], {"units": 2, "use_bias": 0}),
    ("transposed_dense", [(3, 2, 4)], [(2, 4)], {"units": 2}),
    *[("dense", [(3, 2, 4)], [(4, 2), (2,)], {"units": 2, "activation": i, "alpha": 0.3}) for i in range(len(ACTIVATIONS))],
    ("activation", [(3, 2, 4)], [], {"activation": number_of("elu"), "alpha": 0.7}),
    ("softmax", [(3, 2, 5)], [], {}),
    ("log_softmax", [(3, 2, 5)], [], {}),
    ("add", [(3, 4)] * 3, [], {}),
    ("subtract", [(3, 4)] * 2, [], {}),
    ("multiply", [(3, 4)] * 3, [], {}),
    ("average", [(3, 4)] * 3, [], {}),
    ("maximum", [(3, 4)] * 3, [], {}),
    ("minimum", [(3, 4)] * 3, [], {}),
    ("concatenate", [(3, 2, 4), (3, 2, 1)], [], {"axis": -1}),
    ("concatenate", [(3, 2, 4), (3, 3, 4)], [], {"axis": 0}),
    ("reshape", [(3, 2, 6)], [], {"rank": 2, "size_0": 3, "size_1": 4}),
    ("reshape", [(3, 2, 6)], [], {"rank": 1}),
    ("affine", [(3, 2, 4)], [(4,)] * 2, {}),
    ("affine", [(3, 4)], [], {"per_feature": 0, "scale": 0.3, "shift": 2.0}),
    ("batch_normalization", [(5, 2, 3)], [(3,)] * 4, {}),
    ("batch_normalization", [(5, 3)], [(3,)] * 3, {"scale": 0}),
    ("batch_normalization", [(5, 3)], [(3,)] * 4, {"frozen": 1, "epsilon": 9.0}),
    ("layer_normalization", [(3, 2, 4)], [(4,)] * 2, {}),
    ("layer_normalization", [(3, 4)], [(4,)], {"center": 0}),
    ("rms_normalization", [(3, 2, 4)], [(4,)], {}),
    ("group_normalization", [(3, 5, 4)], [(4,)] * 2, {"groups": 2}),
    ("group_normalization", [(3, 5, 4)], [(4,)], {"groups": -1, "scale": 0}),
    ("dropout", [(3, 2, 4)], [], {"shared": 1}),
    ("alpha_dropout", [(3, 2, 4)], [], {"rate": 0.2}),
    ("gaussian_dropout", [(3, 2, 4)], [], {"seed": 1}),
    ("gaussian_noise", [(3, 2, 4)], [], {}),
    ("random", [(3, 2)], [], {"rank": 2, "size_0": 2, "size_1": 3}),
    ("activity_regularization", [(3, 2, 4)], [], {"l1": 0.1, "l2": 0.2, "linear": -0.3}),
    ("activity_regularization", [(3, 2)], [], {"l1": 0.1, "l2": 0.2, "linear": -0.3, "summed": 1}),
    ("orthogonal_regularization", [(3, 4)], [(4, 3)], {"rows": 4, "columns": 3, "factor": 0.3}),
    ("orthogonal_regularization", [(3, 4)], [(4, 3)], {"rows": 4, "columns": 3, "by_columns": 1}),
]
