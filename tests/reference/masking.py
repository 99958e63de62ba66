"""Masking, and means of what is not masked."""

import numpy as np

from reference.operations import Op


def masking(inputs, parameters, value=0.0):
    mask = (inputs[0] != value).any(axis=-1).astype(float)
    return [inputs[0] * mask[..., np.newaxis], mask]


def masking_backward(inputs, parameters, dy, value=0.0):
    return [dy[0] * masking(inputs, parameters, value)[1][..., np.newaxis]], []


def masked_mean(inputs, parameters):
    x, mask = inputs[0], inputs[1] > 0
    return np.array([row[kept].mean(axis=0) if kept.any() else np.zeros(row.shape[1]) for row, kept in zip(x, mask)])


def masked_mean_backward(inputs, parameters, dy):
    mask = inputs[1] > 0
    share = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    return [share[..., np.newaxis] * dy[:, np.newaxis], np.zeros_like(inputs[1])], []


def select(inputs, parameters, value=0.0):
    mask, a = inputs[0], inputs[1]
    taken = (mask > 0).reshape(*mask.shape, *[1] * (a.ndim - mask.ndim))
    return np.where(taken, a, inputs[2] if len(inputs) > 2 else value)


def select_backward(inputs, parameters, dy, value=0.0):
    mask, a = inputs[0], inputs[1]
    taken = (mask > 0).reshape(*mask.shape, *[1] * (a.ndim - mask.ndim))
    return [np.zeros_like(mask), dy * taken, *([dy * ~taken] if len(inputs) > 2 else [])], []


def in_training(inputs, parameters):
    return inputs[-1]


def in_training_backward(inputs, parameters, dy):
    return [*[np.zeros_like(dy)] * (len(inputs) - 1), dy], []


OPS = {
    "in_training": Op(in_training, in_training_backward),
    "select": Op(select, select_backward),
    "masking": Op(masking, masking_backward),
    "masked_mean": Op(masked_mean, masked_mean_backward),
}

#: Name, shapes of inputs and parameters, attributes.
OP_CASES = [
    ("masking", [(3, 4, 2)], [], {}),
    ("in_training", [(3, 4), (3, 4)], [], {}),
    ("masked_mean", [(3, 4, 2), (3, 4)], [], {}),
    ("select", [(3, 4), (3, 4, 2), (3, 4, 2)], [], {}),
    ("select", [(3, 4), (3, 4, 2)], [], {"value": 1.5}),
]
