"""Pooling: window by window."""

import numpy as np

from reference.operations import Op


def as_images(x):
    """A sequence is an image of height 1."""
    return x if x.ndim == 4 else x[:, np.newaxis]


def spans(size, window, stride, same):
    """(where the window begins, maybe outside; first input; end of the inputs) along an axis."""
    count = -(-size // stride) if same else (size - window) // stride + 1
    before = max((count - 1) * stride + window - size, 0) // 2 if same else 0
    starts = [i * stride - before for i in range(count)]
    return [(start, max(start, 0), min(start + window, size)) for start in starts]


def windows(x, pool_height=2, pool_width=2, stride_height=2, stride_width=2, same=0):
    """[row][column] of slices of images: one for each window."""
    _, height, width, _ = x.shape
    return [[np.s_[:, top:bottom, left:right]
             for _, left, right in spans(width, int(pool_width), int(stride_width), same)]
            for _, top, bottom in spans(height, int(pool_height), int(stride_height), same)]  # fmt: skip


def pooled(reduce):
    def forward(inputs, parameters, **attributes):
        x = as_images(inputs[0])
        y = np.array([[reduce(x[window], axis=(1, 2)) for window in row] for row in windows(x, **attributes)])
        y = np.moveaxis(y, 2, 0)
        return y if inputs[0].ndim == 4 else y[:, 0]

    return forward


def pooling_backward(share):
    """share(window of x) -> how much of the gradient each input of it has"""

    def backward(inputs, parameters, dy, **attributes):
        x, dy = as_images(inputs[0]), as_images(dy)
        dx = np.zeros_like(x)
        for i, row in enumerate(windows(x, **attributes)):
            for j, window in enumerate(row):
                dx[window] += dy[:, i : i + 1, j : j + 1] * share(x[window])
        return [dx.reshape(inputs[0].shape)], []

    return backward


def is_first_maximum(x):
    flat = x.reshape(len(x), -1, x.shape[-1])
    return (np.arange(flat.shape[1])[:, np.newaxis] == flat.argmax(axis=1)[:, np.newaxis]).reshape(x.shape)


def equal_shares(x):
    return np.ones_like(x) / (x.shape[1] * x.shape[2])


OPS = {
    "max_pooling": Op(pooled(np.max), pooling_backward(is_first_maximum)),
    "average_pooling": Op(pooled(np.mean), pooling_backward(equal_shares)),
}

#: For finite differences.
OP_CASES = [
    case
    for op in OPS
    for case in (
        (op, [(2, 4, 5, 3)], [], {}),
        (op, [(2, 5, 4, 2)], [], {"pool_height": 3, "pool_width": 2, "stride_height": 2, "stride_width": 1, "same": 1}),
        (op, [(2, 6, 3)], [], {"pool_height": 1, "stride_height": 1, "pool_width": 3, "stride_width": 2}),
    )
]
