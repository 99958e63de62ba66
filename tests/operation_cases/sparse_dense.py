"""Dense layers of rows given by their non-zeros."""

from fastnet import _core
from operation_cases.base import OpCase


def sparse_dense_cases(width):
    for name in _core.registry("activations"):
        attributes = {"columns": 4, "units": width, "activation": _core.activation_index(name), "alpha": 0.3}
        yield OpCase("sparse_dense", ((10,),), attributes)
    yield OpCase("sparse_dense", ((2 * width,),), {"columns": 3, "units": 1})
    yield OpCase("sparse_dense", ((2,),), {"columns": 1, "units": 2 * width, "use_bias": 0})
    yield OpCase("sparse_dense", ((3, 8),), {"columns": 5, "units": width, "activation": _core.activation_index("tanh")})


OPS = {"sparse_dense": sparse_dense_cases}
