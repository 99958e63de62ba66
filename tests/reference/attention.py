"""Scaled dot-product attention, with all its weights at once."""

import numpy as np

from reference.operations import Op, random_words, softmax

GROUP = 64  # random words are made together; those of a query begin with a group


def heads_of(x, count):
    """[rows][steps][count * size] -> [rows][count][steps][size]"""
    return np.moveaxis(x.reshape(*x.shape[:2], count, -1), 2, 1)


def joined(x):
    """The opposite of heads_of."""
    x = np.moveaxis(x, 1, 2)
    return x.reshape(*x.shape[:2], -1)


def visible(inputs, causal, window):
    """Which keys a query may see: [rows][1][queries][keys]."""
    rows, queries, keys = len(inputs[0]), inputs[0].shape[1], inputs[1].shape[1]
    i, j = np.arange(queries)[:, None], np.arange(keys)
    seen = np.ones((rows, queries, keys), bool)
    if causal:
        seen &= j <= i
    if window:
        seen &= abs(i - j) < window
    for mask in inputs[3:]:
        seen &= mask > 0.5 if mask.shape[1:] == (queries, 1) else (mask > 0.5).reshape(rows, -1, keys)
    return seen[:, None]


def weights_of(q, k, inputs, causal, window, scale):
    scores = np.where(visible(inputs, causal, window), scale * q @ np.swapaxes(k, -1, -2), -np.inf)
    blind = np.isneginf(scores).all(axis=-1, keepdims=True)
    return np.where(blind, 0.0, softmax(np.where(blind, 0.0, scores)))


def dropout_factors(shape, rate, seed):
    """Of weights [rows][heads][queries][keys]."""
    if rate == 0:
        return np.ones(shape)
    *outer, keys = shape
    pitch = -(-keys // GROUP) * GROUP
    words = random_words(int(np.prod(outer)) * pitch, seed=seed).reshape(*outer, pitch)[..., :keys]
    return (words >= int(rate * 2**32)) / (1 - rate)


def prepare(inputs, heads, key_heads, scale):
    """q, and k and v of the head that each head of q has; scale"""
    heads = int(heads)
    key_heads = int(key_heads) or heads
    q = heads_of(inputs[0], heads)
    k, v = (np.repeat(heads_of(x, key_heads), heads // key_heads, axis=1) for x in inputs[1:3])
    return q, k, v, scale or q.shape[-1] ** -0.5


def attention(inputs, parameters, heads=1, key_heads=0, causal=0, window=0, scale=0, rate=0, seed=-1, scores=0):
    q, k, v, scale = prepare(inputs, heads, key_heads, scale)
    p = weights_of(q, k, inputs, causal, window, scale)
    y = joined(p * dropout_factors(p.shape, rate, seed) @ v)
    return [y, p] if scores else y


def attention_backward(inputs, parameters, dy, heads=1, key_heads=0, causal=0, window=0, scale=0, rate=0, seed=-1, scores=0):
    q, k, v, scale = prepare(inputs, heads, key_heads, scale)
    p = weights_of(q, k, inputs, causal, window, scale)
    m = dropout_factors(p.shape, rate, seed)
    dy, of_scores = dy if scores else (dy, 0)
    dy = heads_of(dy, int(heads))
    dp = m * (dy @ np.swapaxes(v, -1, -2)) + of_scores
    ds = scale * p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    dv = np.swapaxes(m * p, -1, -2) @ dy
    dk = np.swapaxes(ds, -1, -2) @ q
    group = int(heads) // (int(key_heads) or int(heads))
    dk, dv = (x.reshape(len(x), -1, group, *x.shape[2:]).sum(axis=2) for x in (dk, dv))
    return [joined(ds @ k), joined(dk), joined(dv), *[np.zeros_like(mask) for mask in inputs[3:]]], []


def scale(inputs, parameters):
    return parameters[0] * inputs[0]


def scale_backward(inputs, parameters, dy):
    return [parameters[0] * dy], [np.array([(dy * inputs[0]).sum()])]


OPS = {"attention": Op(attention, attention_backward), "scale": Op(scale, scale_backward)}

OP_CASES = [
    ("attention", [(3, 4, 6), (3, 5, 6), (3, 5, 4)], [], {"heads": 2}),
    ("attention", [(3, 4, 6), (3, 5, 3), (3, 5, 2)], [], {"heads": 2, "key_heads": 1, "causal": 1}),
    ("attention", [(2, 4, 6), (2, 4, 6), (2, 4, 6), (2, 4), (2, 4, 4)], [], {"heads": 3, "window": 2, "scale": 0.7}),
    ("attention", [(2, 3, 4), (2, 3, 4), (2, 3, 4)], [], {"heads": 2, "rate": 0.4, "seed": 1}),
    ("attention", [(2, 3, 4), (2, 5, 2), (2, 5, 3)], [], {"heads": 2, "key_heads": 1, "scores": 1, "causal": 1}),
    ("attention", [(2, 3, 4), (2, 3, 4), (2, 3, 4)], [], {"heads": 2, "rate": 0.4, "seed": 1, "scores": 1}),
    ("attention", [(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 3, 1), (2, 5)], [], {"causal": 1, "scores": 1}),
    ("scale", [(3, 4, 2)], [(1,)], {}),
]
