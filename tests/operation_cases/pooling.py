"""Pooling: windows that cover the image, overlap, leave gaps and reach beyond it; many channels and few; images of one
pixel."""

from operation_cases.base import OpCase


def attributes(height, width, down, right, same=0):
    return {"pool_height": height, "pool_width": width, "stride_height": down, "stride_width": right, "same": same}


def pooling_cases(op):
    def cases(width):
        """Channels around the width of a vector; few channels, and images around it."""
        yield OpCase(op, ((4, 6, width),))
        yield OpCase(op, ((5, 3, width),))
        yield OpCase(op, ((7, 5, width),), attributes(3, 2, 2, 1, same=1))
        yield OpCase(op, ((1, 1, width),), attributes(3, 2, 2, 2, same=1))
        yield OpCase(op, ((5, 7, width),), attributes(5, 7, 5, 7))
        yield OpCase(op, ((7, width),), attributes(1, 3, 1, 2))
        yield OpCase(op, ((2, width + 1, 1),))
        yield OpCase(op, ((5, width + 2, 1),), attributes(2, 3, 3, 4))
        yield OpCase(op, ((3, width, 3),), attributes(2, 5, 2, 1, same=1))
        yield OpCase(op, ((width, 2),), attributes(1, 4, 1, 3, same=1))
        yield OpCase(op, ((17, 18, 1),), attributes(17, 16, 1, 1))  # more than 256 inputs in a window
        yield OpCase(op, ((17, 16, width),), attributes(17, 16, 1, 1))

    return cases


OPS = {op: pooling_cases(op) for op in ("average_pooling", "max_pooling")}
