"""Masking; what is masked is tested with the layer, for the numbers of these cases are all different from each other."""

from operation_cases.base import OpCase


def masking_cases(width):
    yield OpCase("masking", ((5, width),))
    yield OpCase("masking", ((2, 3, width),), {"value": 1.0})


def masked_mean_cases(width):
    yield OpCase("masked_mean", ((4, width), (4,)))
    yield OpCase("masked_mean", ((1, width), (1,)))


def select_cases(width):
    yield OpCase("select", ((4,), (4, width), (4, width)))
    yield OpCase("select", ((4,), (4, width)), {"value": 1.5})
    yield OpCase("select", ((2, 3), (2, 3, 2, width), (2, 3, 2, width)))


def in_training_cases(width):
    yield OpCase("in_training", ((2, width), (2, width)))
    yield OpCase("in_training", ((width,),))


OPS = {"in_training": in_training_cases, "select": select_cases, "masking": masking_cases, "masked_mean": masked_mean_cases}
