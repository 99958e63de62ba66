"""Dense layers of rows given by their non-zeros."""

import numpy as np

from reference.activations import ACTIVATIONS, LINEAR
from reference.operations import OPS as _OPS
from reference.operations import Op


def dense_rows(x, columns):
    """The rows themselves, and for each pair the column, or that there is none."""
    columns = int(columns)
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    valid = (pairs[..., 0] >= 0) & (pairs[..., 0] < columns)
    places = np.where(valid, pairs[..., 0], 0).astype(int)
    rows = np.zeros((*x.shape[:-1], columns))
    flat, numbers = rows.reshape(-1, columns), np.where(valid, pairs[..., 1], 0)
    for row, at, number in zip(flat, places.reshape(len(flat), -1), numbers.reshape(len(flat), -1)):
        np.add.at(row, at, number)
    return rows, places, valid


def sparse_dense(inputs, parameters, columns=1, **attributes):
    return _OPS["dense"].forward([dense_rows(inputs[0], columns)[0]], parameters, **attributes)


def sparse_dense_backward(inputs, parameters, dy, columns=1, **attributes):
    rows, places, valid = dense_rows(inputs[0], columns)
    (d_rows,), gradients = _OPS["dense"].backward([rows], parameters, dy, **attributes)
    d_pairs = np.zeros((*places.shape, 2))
    d_pairs[..., 1] = np.where(valid, np.take_along_axis(d_rows, places, axis=-1), 0)
    return [d_pairs.reshape(inputs[0].shape)], gradients


OPS = {"sparse_dense": Op(sparse_dense, sparse_dense_backward)}

#: Name, shapes of inputs and parameters, attributes.
OP_CASES = [
    ("sparse_dense", [(3, 8)], [(2, 5), (5,)], {"columns": 2, "units": 5}),
    ("sparse_dense", [(2, 3, 6)], [(4, 2)], {"columns": 4, "units": 2, "use_bias": 0, "activation": LINEAR}),
    *[
        ("sparse_dense", [(3, 10)], [(3, 2), (2,)], {"columns": 3, "units": 2, "activation": i, "alpha": 0.3})
        for i in range(len(ACTIVATIONS))
    ],
]
