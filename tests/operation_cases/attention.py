"""Attention."""

from operation_cases.base import OpCase


def attention_cases(width):
    """width is the size of a head, or the number of keys."""
    small = {"scale": 0.2}
    yield OpCase("attention", ((3, 2 * width), (5, 2 * width), (5, 2 * width)), {"heads": 2, **small})
    yield OpCase("attention", ((1, width), (1, width), (1, 3)), small)
    yield OpCase("attention", ((4, 6), (width, 3), (width, 1)), {"heads": 2, "key_heads": 1, **small})
    yield OpCase("attention", ((width, 4), (width, 4), (width, 4)), {"heads": 2, "causal": 1, **small})
    yield OpCase("attention", ((width, 3), (4, 3), (4, 2)), {"causal": 1, "window": 2})
    yield OpCase("attention", ((3, 4), (width, 4), (width, 2), (width,), (3, width), (1, width)), {"heads": 2, **small})
    yield OpCase("attention", ((width, 4), (width, 4), (width, 4)), {"heads": 2, "rate": 0.4, "seed": 3, **small})
    yield OpCase("attention", ((3, 4), (width, 2), (width, 3)), {"heads": 2, "key_heads": 1, "scores": 1, **small})
    yield OpCase("attention", ((width, 4), (5, 4), (5, 3), (width, 1)), small)
    yield OpCase("attention", ((width, 4), (width, 4), (width, 4)), {"rate": 0.4, "seed": 3, "causal": 1, "scores": 1, **small})


def scale_cases(width):
    yield OpCase("scale", ((width,),))
    yield OpCase("scale", ((3, width),))


OPS = {"attention": attention_cases, "scale": scale_cases}
