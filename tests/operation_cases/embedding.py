"""Embedding."""

from operation_cases.base import OpCase


def embedding_cases(width):
    yield OpCase("embedding", ((7,),), {"input_dim": 4, "output_dim": width})
    yield OpCase("embedding", ((width,),), {"input_dim": 3, "output_dim": 1})
    yield OpCase("embedding", ((2, 3),), {"input_dim": 1, "output_dim": 2 * width})


OPS = {"embedding": embedding_cases}
