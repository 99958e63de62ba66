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


OPS = {"masking": Op(masking, masking_backward), "masked_mean": Op(masked_mean, masked_mean_backward)}

#: Name, shapes of inputs and parameters, attributes.
OP_CASES = [("masking", [(3, 4, 2)], [], {}), ("masked_mean", [(3, 4, 2), (3, 4)], [], {})]
