"""Vectors of positions, and rotations by them."""

from operation_cases.base import OpCase


def position_embedding_cases(width):
    yield OpCase("position_embedding", ((3, width),), {"length": 5})
    yield OpCase("position_embedding", ((4, width),), {"length": 4, "add": 1})
    yield OpCase("position_embedding", ((3, width),), {"start": 7, "max_wavelength": 20})
    yield OpCase("position_embedding", ((width, 3),), {"add": 1})


def rotary_embedding_cases(width):
    yield OpCase("rotary_embedding", ((3, 2 * width),))
    yield OpCase("rotary_embedding", ((width, 2, 6),), {"start": 7, "max_wavelength": 20})
    yield OpCase("rotary_embedding", ((2, 6 * width),), {"size": 2 * width, "scaling_factor": 3})


OPS = {"position_embedding": position_embedding_cases, "rotary_embedding": rotary_embedding_cases}
