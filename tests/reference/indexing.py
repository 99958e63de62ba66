"""Operations that depend on numbers: take, scatter, scan, argsort, element by element."""

import numpy as np

from reference.operations import Op


def _places(table, indices, axis, along):
    """For each element (with the row first) where in the table it belongs: a list of (element, place or None), and the shape of
    the elements. table: a shape with the rows; indices: with the rows."""
    rows, axis = indices.shape[0], 1 + int(axis)
    if along:
        around = list(table)
        around[axis] = 1
        shape = np.broadcast_shapes(tuple(around), indices.shape)
    else:
        shape = (rows, *table[1:axis], *indices.shape[1:], *table[axis + 1 :])
    found = []
    for element in np.ndindex(shape):
        if along:
            index = indices[tuple(i % size for i, size in zip(element, indices.shape))]
            place = [i % size for i, size in zip(element, table)]
        else:
            index = indices[(element[0], *element[axis : axis + indices.ndim - 1])]
            place = [*element[:axis], 0, *element[axis + indices.ndim - 1 :]]
        n, inside = table[axis], -table[axis] <= index < table[axis]
        place[axis] = int(index) % n if inside else 0
        found.append((element, tuple(place) if inside else None))
    return found, shape


def _operands(inputs, parameters, parameter):
    """Table (or elements) and indices, with the rows."""
    rows = inputs[0].shape[0]
    first = np.repeat(parameters[0][None], rows, 0) if parameter == "table" else inputs[0]
    return first, np.repeat(parameters[0][None], rows, 0) if parameter == "indices" else inputs[-1]


def take(inputs, parameters, axis=0, along=0, zero=0, parameter=0, **shape):
    table, indices = _operands(inputs, parameters, ("", "table", "indices")[int(parameter)])
    places, shape = _places(table.shape, indices, axis, along)
    y = np.full(shape, 0.0 if zero else np.nan)
    for element, place in places:
        if place is not None:
            y[element] = table[place]
    return y


def take_backward(inputs, parameters, dy, axis=0, along=0, zero=0, parameter=0, **shape):
    table, indices = _operands(inputs, parameters, ("", "table", "indices")[int(parameter)])
    dx = np.zeros_like(table)
    for element, place in _places(table.shape, indices, axis, along)[0]:
        if place is not None:
            dx[place] += dy[element]
    if parameter == 1:
        return [np.zeros_like(inputs[0])], [dx.sum(0)]
    return ([dx], [np.zeros_like(parameters[0])]) if parameter == 2 else ([dx, np.zeros_like(indices)], [])


def _scatter(inputs, parameters, function, axis, along, n, start, parameter):
    """y, and by element where it is in it and its part of that number's gradient."""
    x, indices = _operands(inputs, parameters, "indices" if parameter else "")
    axis, used = int(axis), 1 if along else indices.ndim - 1
    table = (*x.shape[: 1 + axis], int(n), *x.shape[1 + axis + used :])
    members = {}
    for element, place in _places(table, indices, axis, along)[0]:
        if place is not None:
            members.setdefault(place, []).append(element)
    y, parts = np.full(table, float(start)), []
    for place, elements in members.items():
        numbers = np.array([x[element] for element in elements])
        if function == 0:
            y[place], share = start + numbers.sum(), np.ones(len(numbers))
        elif function == 1:
            y[place] = largest = np.max([start, *numbers])
            share = (numbers == largest) | (np.isnan(numbers) & np.isnan(largest))
            share = share / max(share.sum(), 1)
        else:
            y[place], share = numbers[-1], np.arange(len(numbers)) == len(numbers) - 1
        parts += [(element, place, one) for element, one in zip(elements, share)]
    return y, parts


def scatter(inputs, parameters, function=0, axis=0, along=0, n=1, start=0.0, parameter=0, **shape):
    return _scatter(inputs, parameters, function, axis, along, n, start, parameter)[0]


def scatter_backward(inputs, parameters, dy, function=0, axis=0, along=0, n=1, start=0.0, parameter=0, **shape):
    dx = np.zeros_like(inputs[0])
    for element, place, share in _scatter(inputs, parameters, function, axis, along, n, start, parameter)[1]:
        dx[element] = share * dy[place]
    return ([dx], [np.zeros_like(parameters[0])]) if parameter else ([dx, np.zeros_like(inputs[1])], [])


def _along(x, axis, reverse):
    """The axis first, in the direction of the scan."""
    x = np.moveaxis(x, 1 + int(axis), 0)
    return x[::-1] if reverse else x


def scan(inputs, parameters, function=0, axis=0, reverse=0):
    x = _along(inputs[0], axis, reverse)
    y = (np.cumprod if function else np.cumsum)(x, axis=0)
    return np.moveaxis(y[::-1] if reverse else y, 0, 1 + int(axis))


def scan_backward(inputs, parameters, dy, function=0, axis=0, reverse=0):
    x, dy = _along(inputs[0], axis, reverse), _along(dy, axis, reverse)
    dx = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(i, len(x)):  # of the product of all to j, the others
            dx[i] += dy[j] * (np.prod(np.delete(x[: j + 1], i, 0), axis=0) if function else 1)
    return [np.moveaxis(dx[::-1] if reverse else dx, 0, 1 + int(axis))], []


def argsort(inputs, parameters, axis=0, k=0, descending=0):
    x = np.moveaxis(inputs[0], 1 + int(axis), -1)
    y = np.empty((*x.shape[:-1], int(k) or x.shape[-1]))
    for line in np.ndindex(x.shape[:-1]):

        def key(i, line=line):
            nan = np.isnan(x[line][i])
            number = 0 if nan else x[line][i]
            return (not nan, -number, i) if descending else (nan, number, i)

        y[line] = sorted(range(x.shape[-1]), key=key)[: y.shape[-1]]
    return np.moveaxis(y, -1, 1 + int(axis))


def argsort_backward(inputs, parameters, dy, **attributes):
    return [np.zeros_like(inputs[0])], []


OPS = {
    "take": Op(take, take_backward), "scatter": Op(scatter, scatter_backward), "scan": Op(scan, scan_backward),
    "argsort": Op(argsort, argsort_backward),
}  # fmt: skip
OP_CASES = [
    ("take", [(3, 4), (3, 5)], [], {}),
    ("take", [(3, 4, 2), (3, 5, 1)], [], {"along": 1}),
    ("take", [(3, 2)], [(4, 3)], {"parameter": 1}),
    ("take", [(3, 2, 4)], [(3,)], {"axis": 1, "parameter": 2}),
    *(("scatter", [(3, 4), (3, 4)], [], {"function": function, "n": 3, "start": -3}) for function in range(3)),
    ("scatter", [(3, 2, 5)], [(5,)], {"axis": 1, "n": 3, "parameter": 1}),
    *(("scan", [(2, 4, 3)], [], {"function": f, "axis": axis, "reverse": axis}) for f in range(2) for axis in range(2)),
    ("argsort", [(2, 5)], [], {"k": 3}),
]
