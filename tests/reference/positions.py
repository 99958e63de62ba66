"""Vectors of positions, and rotations by them."""

import numpy as np

from reference.operations import Op


def frequencies(n, exponent_step, max_wavelength):
    return max_wavelength ** -(exponent_step * np.arange(n))


def waves(steps, channels, max_wavelength, start):
    angles = np.outer(start + np.arange(steps), frequencies(-(-channels // 2), 2 / channels, max_wavelength))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(steps, -1)[:, :channels]


def position_embedding(inputs, parameters, length=0, max_wavelength=10000, start=0, add=0):
    x = inputs[0]
    e = parameters[0][: x.shape[1]] if length else waves(*x.shape[1:], max_wavelength, start)
    return e + (x if add else np.zeros_like(x))


def position_embedding_backward(inputs, parameters, dy, length=0, max_wavelength=10000, start=0, add=0):
    gradients = []
    if length:
        gradients = [np.zeros_like(parameters[0])]
        gradients[0][: dy.shape[1]] = dy.sum(axis=0)
    return [dy if add else np.zeros_like(dy)], gradients


def turned(x, direction, max_wavelength, scaling_factor, start, size):
    heads = x.reshape(*x.shape[:2], -1, int(size) or x.shape[-1])
    n = heads.shape[-1] // 2
    angles = np.outer(start + np.arange(x.shape[1]), frequencies(n, 1 / n, max_wavelength) / scaling_factor)
    vectors = heads[..., :n] + 1j * heads[..., n:]
    vectors = vectors * np.exp(1j * direction * angles)[:, None]
    return np.concatenate([vectors.real, vectors.imag], axis=-1).reshape(x.shape)


def rotary_embedding(inputs, parameters, max_wavelength=10000, scaling_factor=1, start=0, size=0):
    return turned(inputs[0], 1, max_wavelength, scaling_factor, start, size)


def rotary_embedding_backward(inputs, parameters, dy, max_wavelength=10000, scaling_factor=1, start=0, size=0):
    return [turned(dy, -1, max_wavelength, scaling_factor, start, size)], []


OPS = {
    "position_embedding": Op(position_embedding, position_embedding_backward),
    "rotary_embedding": Op(rotary_embedding, rotary_embedding_backward),
}

OP_CASES = [
    ("position_embedding", [(3, 4, 5)], [(6, 5)], {"length": 6}),
    ("position_embedding", [(3, 4, 5)], [(4, 5)], {"length": 4, "add": 1}),
    ("position_embedding", [(3, 4, 5)], [], {"add": 1, "start": 3, "max_wavelength": 50}),
    ("rotary_embedding", [(3, 4, 6)], [], {"start": 2}),
    ("rotary_embedding", [(3, 4, 2, 6)], [], {"max_wavelength": 50, "scaling_factor": 2.5}),
    ("rotary_embedding", [(3, 4, 8)], [], {"size": 4}),
]
