"""Masking; what is masked is tested with the layer, for the numbers of these cases are all different from each other."""

from operation_cases.base import OpCase


def masking_cases(width):
    yield OpCase("masking", ((5, width),))
    yield OpCase("masking", ((2, 3, width),), {"value": 1.0})


OPS = {"masking": masking_cases}
