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


def strided_places(rank, offset, given):
    """Where in a sample each number of the dense side is."""
    sizes = [int(given.get(f"size_{axis}", 1)) for axis in range(int(rank))]
    strides = [int(given.get(f"stride_{axis}", 0)) for axis in range(int(rank))]
    places = np.full(sizes, int(offset))
    for index in np.ndindex(*sizes):
        places[index] += sum(i * stride for i, stride in zip(index, strides))
    return places


def strided_copy(inputs, parameters, rank=0, offset=0, length=0, **given):
    (x,), places = inputs, strided_places(rank, offset, given)
    if not length:
        return x.reshape(len(x), -1)[:, places]
    y = np.zeros((len(x), int(length)))
    for index in np.ndindex(*places.shape):
        y[:, places[index]] += x[(slice(None), *index)]
    return y


def strided_copy_backward(inputs, parameters, dy, rank=0, offset=0, length=0, **given):
    (x,), places = inputs, strided_places(rank, offset, given)
    if length:
        return [dy[:, places]], []
    dx = np.zeros((len(x), x[0].size))
    for index in np.ndindex(*places.shape):
        dx[:, places[index]] += dy[(slice(None), *index)]
    return [dx.reshape(x.shape)], []


OPS = {
    "strided_copy": Op(strided_copy, strided_copy_backward),
    "pad": Op(pad, pad_backward),
    "resize": Op(resize, resize_backward),
    "permute": Op(permute, permute_backward),
}

#: For finite differences.
OP_CASES = [
    ("pad", [(2, 3, 4, 2)], [], {"top": 1, "bottom": -1, "left": -2, "right": 3}),
    ("pad", [(2, 4, 3)], [], {"left": 2, "right": -1}),
    ("resize", [(2, 2, 3, 2)], [], {"height": 4, "width": 9, "bilinear": 1}),
    ("resize", [(2, 5, 3)], [], {"width": 3, "bilinear": 1}),
    ("resize", [(2, 2, 3, 2)], [], {"height": 4, "width": 7}),
    ("strided_copy", [(2, 3, 4)], [], {"rank": 2, "offset": 3, "size_0": 3, "stride_0": 4, "size_1": 2, "stride_1": -1}),
    ("strided_copy", [(2, 3)], [], {"rank": 2, "size_0": 4, "size_1": 3, "stride_1": 1}),
    ("strided_copy", [(2, 2, 3)], [], {"rank": 2, "length": 5, "size_0": 2, "stride_0": 1, "size_1": 3, "stride_1": 1}),
    ("permute", [(2, 3, 4, 2)], [], {"rank": 3, "axis_0": 2, "axis_1": 0, "axis_2": 1}),
]
