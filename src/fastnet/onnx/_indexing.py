"""Copies by constant places, and what depends on numbers: take, scatter, scan and sort."""

from __future__ import annotations

import math

import numpy as np

from ._graph import Graph, Node, writes

__all__: list[str] = []


def _places(node: Node) -> np.ndarray:
    """Where in a sample each number of the dense side is."""
    rank = node.integer("rank")
    places = np.full([node.integer(f"size_{axis}") for axis in range(rank)], node.integer("offset"))
    for axis in range(rank):
        along = np.arange(places.shape[axis]) * node.integer(f"stride_{axis}")
        places += along.reshape(-1, *[1] * (rank - axis - 1))
    return places


@writes("strided_copy")
def _strided_copy(node: Node) -> str:
    g, places = node.graph, _places(node)
    flat = g.reshape(node.x, [node.size])
    length = node.integer("length")
    if not length:
        return str(g.gather(flat, places, 1))
    # The opposite: each number of the output is the sum of those that go there, of which place `size` is none.
    members: list[list[int]] = [[] for _ in range(length)]
    for number, place in enumerate(places.ravel()):
        members[place].append(number)
    table = np.full((max(1, *map(len, members)), length), node.size)
    for place, numbers in enumerate(members):
        table[: len(numbers), place] = numbers
    padded = g.add("Pad", flat, g.integers([0, 0, 0, 1]))
    return g.chain("Add", [g.gather(padded, line, 1) for line in table])


def _operands(node: Node, which: int) -> tuple[str, tuple[int, ...], str, tuple[int, ...]]:
    """The table, or elements, and indices: name and shape of a sample of each; of a parameter, as of one row."""
    g, parameter = node.graph, node.integer("parameter")
    first, last = node.inputs[0], node.inputs[-1]
    if parameter == 1 == which:
        array = node.array(0)
        return node.weight(0, lambda table: table[np.newaxis]), array.shape, last.name, last.shape
    if parameter:
        array = node.array(0)
        return first.name, first.shape, g.constant(array[np.newaxis]), array.shape
    return first.name, first.shape, last.name, last.shape


def _count_from_start(g: Graph, indices: str, n: int) -> tuple[str, str]:
    """(whole places, counted from the start; whether they are in a table of n)"""
    inside = g.add("And", g.add("GreaterOrEqual", indices, float(-n)), g.add("Less", indices, float(n)))
    whole = g.number(g.add("Cast", g.add("Where", inside, indices, 0.0), to="int64"))
    return g.add("Where", g.add("Less", whole, 0.0), g.add("Add", whole, float(n)), whole), inside


@writes("take")
def _take(node: Node) -> str:
    """From each row of the table, at places that are counted from the end where they are negative."""
    g, axis, along = node.graph, node.integer("axis"), node.integer("along")
    table, table_shape, indices, index_shape = _operands(node, 1)
    n = table_shape[axis]
    counted, inside = _count_from_start(g, indices, n)
    places = g.add("Cast", counted, to="int64")
    rows = node.shapes[0]
    outside = 0.0 if node.integer("zero") else math.nan
    if along:
        # The indices at the shape of the result, the table at that with its own size along the axis.
        whole = (*rows[:axis], n, *rows[axis + 1 :])
        table = g.with_rows(node.x, table, whole)
        places = g.with_rows(node.x, places, rows)
        found = g.add("GatherElements", table, places, axis=axis + 1)
        return str(g.add("Where", g.with_rows(node.x, inside, rows), found, outside))
    order = [0, axis + 1, *(i for i in range(1, len(table_shape) + 1) if i != axis + 1)]
    front = g.transpose(g.with_rows(node.x, table, table_shape), order)  # [rows][n][the others]
    places = g.with_rows(node.x, places, index_shape)
    found = g.add("GatherND", front, g.add("Unsqueeze", places, g.integers([-1])), batch_dims=1)
    # [rows][indices][the others] -> the axes of the indices in the place of the axis
    k = len(index_shape)
    others = [1 + k + i for i in range(len(table_shape) - 1)]
    found = g.transpose(found, [0, *others[:axis], *range(1, 1 + k), *others[axis:]])
    inside = g.reshape(
        g.with_rows(node.x, inside, index_shape), [*[1] * axis, *index_shape, *[1] * (len(table_shape) - 1 - axis)]
    )
    return str(g.add("Where", inside, found, outside))


@writes("scatter")
def _scatter(node: Node) -> str:
    """By comparing each index with each place: [rows][before][elements][n][after]."""
    g, axis, n = node.graph, node.integer("axis"), node.integer("n")
    x, shape, indices, index_shape = _operands(node, 2)
    used = 1 if node.integer("along") else len(index_shape)
    before, after = shape[:axis], shape[axis + used :]
    elements = math.prod(shape[axis : axis + used])
    if node.integer("along"):
        indices = g.with_rows(node.x, indices, shape)
        index_shape = (*before, elements, 1, *after)
    else:
        index_shape = (*[1] * axis, elements, 1, *[1] * len(after))
    indices = g.reshape(indices, index_shape)
    counted, inside = _count_from_start(g, indices, n)
    places = np.arange(n).reshape(n, *[1] * len(after))
    hit = g.add("And", g.add("Equal", counted, g.constant(places)), inside)
    x = g.reshape(x, [*before, elements, 1, *after])
    start, along = node.number("start"), axis + 1

    def reduce(kind: str, name: str) -> str:
        return g.reduce(kind, name, [along], keepdims=False)

    function = node.integer("function")
    if function == 0:
        return str(g.add("Add", reduce("Sum", g.add("Where", hit, x, 0.0)), start))
    if function == 1:
        return str(g.add("Max", reduce("Max", g.add("Where", hit, x, start)), start))
    numbers = g.constant((1 + np.arange(elements)).reshape(elements, *[1] * (1 + len(after))))
    order = g.add("Where", hit, numbers, 0.0)
    last = reduce("Max", order)
    taken = g.add("And", hit, g.add("Equal", order, g.add("Unsqueeze", last, g.integers([along]))))
    return str(g.add("Where", g.positive(last), reduce("Sum", g.add("Where", taken, x, 0.0)), start))


@writes("scan")
def _scan(node: Node) -> str:
    g, axis, reverse = node.graph, node.integer("axis") + 1, node.integer("reverse")
    if not node.integer("function"):
        return str(g.add("CumSum", node.x, g.integers(axis), reverse=reverse))
    n = node.inputs[0].shape[axis - 1]
    parts = [g.slice(node.x, axis, i, i + 1) for i in range(n)]
    products: list[str] = []
    for part in parts[::-1] if reverse else parts:
        products.append(g.add("Mul", products[-1], part) if products else part)
    return str(g.add("Concat", *(products[::-1] if reverse else products), axis=axis))


@writes("argsort")
def _argsort(node: Node) -> str:
    g, axis = node.graph, node.integer("axis")
    k = node.integer("k") or node.inputs[0].shape[axis]
    _, places = g.add("TopK", node.x, g.integers([k]), outputs=2, axis=axis + 1, largest=node.integer("descending"), sorted=1)
    return g.number(places)
