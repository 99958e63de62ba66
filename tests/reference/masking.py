"""Masking."""

import numpy as np
from reference.operations import Op


def masking(inputs, parameters, value=0.0):
    mask = (inputs[0] != value).any(axis=-1).astype(float)
    return [inputs[0] * mask[..., np.newaxis], mask]


def masking_backward(inputs, parameters, dy, value=0.0):
    return [dy[0] * masking(inputs, parameters, value)[1][..., np.newaxis]], []


OPS = {"masking": Op(masking, masking_backward)}

#: Name, shapes of inputs and parameters, attributes.
OP_CASES = [("masking", [(3, 4, 2)], [], {})]
