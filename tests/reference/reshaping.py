"""Padding, resizing, permuting."""

import numpy as np

from reference.operations import Op
from reference.pooling import as_images


def pad(inputs, parameters, top=0, bottom=0, left=0, right=0):
    x = as_images(inputs[0])
    edges = [(0, 0), (int(top), int(bottom)), (int(left), int(right)), (0, 0)]
    x = np.pad(x, [(max(before, 0), max(after, 0)) for before, after in edges])
    cut = tuple(slice(max(-before, 0), size - max(-after, 0)) for (before, after), size in zip(edges, x.shape))
    return x[cut] if inputs[0].ndim == 4 else x[cut][:, 0]


def pad_backward(inputs, parameters, dy, top=0, bottom=0, left=0, right=0):
    return [pad([dy], [], -top, -bottom, -left, -right)], []


def resizing_matrix(size, outputs, bilinear):
    """[outputs][size], whose rows say what each output is made of."""
    matrix = np.zeros((outputs, size))
    for i in range(outputs):
        place = (i + 0.5) * size / outputs - 0.5
        if bilinear:
            low = int(np.floor(place))
            matrix[i, min(max(low, 0), size - 1)] += 1 - (place - low)
            matrix[i, min(max(low + 1, 0), size - 1)] += place - low
        else:
            matrix[i, int(np.floor(place + 0.5))] = 1
    return matrix


def resizing_matrices(x, height, width, bilinear):
    sizes = x.shape[1:3]
    return [resizing_matrix(size, int(wanted) or size, bilinear) for size, wanted in zip(sizes, (height, width))]


def resize(inputs, parameters, height=0, width=0, bilinear=0):
    x = as_images(inputs[0])
    rows, columns = resizing_matrices(x, height, width, bilinear)
    y = np.einsum("ih,jw,nhwc->nijc", rows, columns, x)
    return y if inputs[0].ndim == 4 else y[:, 0]


def resize_backward(inputs, parameters, dy, height=0, width=0, bilinear=0):
    rows, columns = resizing_matrices(as_images(inputs[0]), height, width, bilinear)
    return [np.einsum("ih,jw,nijc->nhwc", rows, columns, as_images(dy)).reshape(inputs[0].shape)], []


def axes_of(rank, axes):
    return [0, *(1 + int(axes.get(f"axis_{i}", i)) for i in range(int(rank)))]


def permute(inputs, parameters, rank=1, **axes):
    return inputs[0].transpose(axes_of(rank, axes))


def permute_backward(inputs, parameters, dy, rank=1, **axes):
    return [dy.transpose(np.argsort(axes_of(rank, axes)))], []


OPS = {"pad": Op(pad, pad_backward), "resize": Op(resize, resize_backward), "permute": Op(permute, permute_backward)}

#: For finite differences.
OP_CASES = [
    ("pad", [(2, 3, 4, 2)], [], {"top": 1, "bottom": -1, "left": -2, "right": 3}),
    ("pad", [(2, 4, 3)], [], {"left": 2, "right": -1}),
    ("resize", [(2, 2, 3, 2)], [], {"height": 4, "width": 9, "bilinear": 1}),
    ("resize", [(2, 5, 3)], [], {"width": 3, "bilinear": 1}),
    ("resize", [(2, 2, 3, 2)], [], {"height": 4, "width": 7}),
    ("permute", [(2, 3, 4, 2)], [], {"rank": 3, "axis_0": 2, "axis_1": 0, "axis_2": 1}),
]
