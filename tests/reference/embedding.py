"""Embedding."""

import numpy as np

from reference.operations import Op


def rows_of(tokens, input_dim):
    """What is no whole number in range leads to some row, too."""
    return np.clip(np.trunc(tokens).astype(int), 0, int(input_dim) - 1)


def embedding(inputs, parameters, input_dim=1, output_dim=1):
    return parameters[0][rows_of(inputs[0], input_dim)]


def embedding_backward(inputs, parameters, dy, input_dim=1, output_dim=1):
    gradient = np.zeros_like(parameters[0])
    np.add.at(gradient, rows_of(inputs[0], input_dim), dy)
    return [np.zeros_like(inputs[0])], [gradient]


OPS = {"embedding": Op(embedding, embedding_backward)}

#: Name, shapes of inputs and parameters, attributes.
OP_CASES = [
    ("embedding", [(4, 3)], [(3, 2)], {"input_dim": 3, "output_dim": 2}),
    ("embedding", [(2, 3, 2)], [(1, 4)], {"input_dim": 1, "output_dim": 4}),
]
