"""Operations that depend on numbers: take, scatter, scan, argsort. Inputs are numbers between -4 and 4: indices of an axis of 4."""

from operation_cases.base import OpCase


def shape_of_parameter(kind, shape):
    return {"parameter": kind, "rank": len(shape), **{f"size_{axis}": size for axis, size in enumerate(shape)}}


def take_cases(width):
    yield OpCase("take", ((4,), (width,)))
    yield OpCase("take", ((4, width), (3,)))
    yield OpCase("take", ((2, 5, 3), (2, width)), {"axis": 1})
    yield OpCase("take", ((2, 4), ()), {"axis": 1})
    yield OpCase("take", ((2, width), (3,)), {"zero": 1})
    yield OpCase("take", ((4, width), (2, width)), {"along": 1})
    yield OpCase("take", ((2, 1, 6), (1, 3, width)), {"axis": 2, "along": 1})
    yield OpCase("take", ((3, 4, width), (1, 5, 1)), {"axis": 1, "along": 1})
    yield OpCase("take", ((7,),), shape_of_parameter(1, (4, width)))
    yield OpCase("take", ((2, 3),), {"axis": 1, **shape_of_parameter(1, (2, 5, width))})
    yield OpCase("take", ((width,),), shape_of_parameter(1, (4,)))
    yield OpCase("take", ((3, 1, width),), {"axis": 1, "along": 1, **shape_of_parameter(1, (1, 4, width))})
    yield OpCase("take", ((2, 4, width),), {"axis": 1, **shape_of_parameter(2, (3, 2))})
    yield OpCase("take", ((width, 4),), {"axis": 1, "along": 1, **shape_of_parameter(2, (1, 3))})


def scatter_cases(width):
    for function in range(3):
        start = {"function": function, "start": -5 if function == 1 else 0.5}
        yield OpCase("scatter", ((width,), (width,)), {**start, "n": 5})
        yield OpCase("scatter", ((2, 6, width), (6,)), {**start, "axis": 1, "n": 4})
        yield OpCase("scatter", ((2, 3, 2),), {**start, "n": 4, **shape_of_parameter(1, (2, 3))})
        yield OpCase("scatter", ((width, 3), (width, 1)), {**start, "along": 1, "n": 7})
        yield OpCase("scatter", ((2, width), (2, width)), {**start, "axis": 1, "along": 1, "n": 4})


def scan_cases(width):
    for function in range(2):
        yield OpCase("scan", ((width,),), {"function": function})
        yield OpCase("scan", ((2, 3, width),), {"function": function, "axis": 1, "reverse": 1})
        yield OpCase("scan", ((3, width),), {"function": function, "axis": 1, "reverse": 1})
        yield OpCase("scan", ((3, width),), {"function": function})


def argsort_cases(width):
    for descending in range(2):
        yield OpCase("argsort", ((width,),), {"descending": descending})
        yield OpCase("argsort", ((3, width),), {"descending": descending, "k": 2})
        yield OpCase("argsort", ((2, 90, 3),), {"descending": descending, "axis": 1, "k": 70})
        yield OpCase("argsort", ((width, 2),), {"descending": descending, "k": 1})


OPS = {"take": take_cases, "scatter": scatter_cases, "scan": scan_cases, "argsort": argsort_cases}
