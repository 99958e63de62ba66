"""Dense layers, activations, merging, normalization and noise."""

from fastnet import _core
from operation_cases.base import OpCase


def dense_cases(width):
    for units in {1, width}:
        yield OpCase("dense", ((width,),), {"units": units})
    yield OpCase("dense", ((3,),), {"units": width, "use_bias": 0})
    yield OpCase("dense", ((2, width),), {"units": 5})
    yield OpCase("dense", ((3, 2, width),), {"units": 4, "use_bias": 0, "activation": _core.activation_index("tanh")})


def transposed_dense_cases(width):
    for units in {1, width}:
        yield OpCase("transposed_dense", ((width,),), {"units": units})
    yield OpCase("transposed_dense", ((3,),), {"units": width})
    yield OpCase("transposed_dense", ((3, 2, width),), {"units": 4})


def activation_cases(width):
    for name in _core.registry("activations"):
        yield OpCase("activation", ((width,),), {"activation": _core.activation_index(name), "alpha": 0.3})
    yield OpCase("activation", ((2, width),), {"activation": _core.activation_index("gelu")})


def merge_cases(op, counts):
    def cases(width):
        for count in counts:
            yield OpCase(op, ((width,),) * count)
        yield OpCase(op, ((2, 3, width),) * 2)

    return cases


def concatenate_cases(width):
    yield OpCase("concatenate", ((width,), (3,), (1,)))
    yield OpCase("concatenate", ((width,),), {"axis": 0})
    yield OpCase("concatenate", ((2, width), (3, width)), {"axis": 0})
    yield OpCase("concatenate", ((2, width, 3), (2, 1, 3), (2, 2, 3)), {"axis": -2})


def softmax_cases(op):
    def cases(width):
        yield OpCase(op, ((width,),))
        yield OpCase(op, ((2, 3, width),))
        yield OpCase(op, ((512 + width,),))  # longer than what is done with several rows at a time

    return cases


def reshape_cases(width):
    yield OpCase("reshape", ((2, width),), {"rank": 1, "size_0": -1})
    yield OpCase("reshape", ((6, width),), {"rank": 3, "size_0": 2, "size_1": -1, "size_2": 3})


def batch_normalization_cases(width):
    yield OpCase("batch_normalization", ((width,),))
    yield OpCase("batch_normalization", ((2, 5, width),), {"epsilon": 1e-5})
    yield OpCase("batch_normalization", ((43, width),), {"scale": 0})  # several chunks of positions
    yield OpCase("batch_normalization", ((width,),), {"center": 0})
    yield OpCase("batch_normalization", ((2, width),), {"scale": 0, "center": 0})
    yield OpCase("batch_normalization", ((2, width),), {"synchronized": 1})  # of a plan that has the whole batch
    # Parameters are random, so that the moving variance may be negative.
    yield OpCase("batch_normalization", ((2, width),), {"frozen": 1, "epsilon": 9.0})


def layer_normalization_cases(width):
    for center, scale in ((1, 1), (0, 1), (1, 0), (0, 0)):
        yield OpCase("layer_normalization", ((2, width),), {"center": center, "scale": scale})
    yield OpCase("layer_normalization", ((width,),), {"epsilon": 1e-2})


def rms_normalization_cases(width):
    yield OpCase("rms_normalization", ((width,),))
    yield OpCase("rms_normalization", ((2, 3, width),), {"epsilon": 1e-2})


def group_normalization_cases(width):
    yield OpCase("group_normalization", ((5, width),), {"groups": 1})
    yield OpCase("group_normalization", ((2, 3, width),), {"groups": -1, "scale": 0})
    yield OpCase("group_normalization", ((3, 2 * width),), {"groups": 2, "center": 0})
    yield OpCase("group_normalization", ((3 * width,),), {"groups": width, "center": 0, "scale": 0})


def affine_cases(width):
    yield OpCase("affine", ((width,),))
    yield OpCase("affine", ((3, width),))
    yield OpCase("affine", ((2, width),), {"per_feature": 0, "scale": 0.3, "shift": -2.0})


def dropout_cases(op):
    def cases(width):
        yield OpCase(op, ((width,),))
        yield OpCase(op, ((2, 5, width),), {"rate": 0.2, "seed": 3})
        yield OpCase(op, ((5, width),), {"rate": 0.4, "shared": 1})

    return cases


def random_cases(width):
    kinds = _core.attribute_choices("random", "distribution")
    for kind in range(len(kinds)):
        yield OpCase("random", ((width,),), {"distribution": kind, "a": -1, "b": 5, "size_0": 5 * width})
    yield OpCase("random", ((2, width),), {"distribution": 1, "shared": 1, "seed": 3, "rank": 2, "size_0": width, "size_1": 13})
    yield OpCase("random", ((2,),), {"distribution": 2, "fixed": 1, "seed": 4, "counter": 2, "size_0": width})
    yield OpCase("random", ((width,),), {"distribution": 1, "rank": 0})


def gaussian_noise_cases(width):
    yield OpCase("gaussian_noise", ((width,),))
    yield OpCase("gaussian_noise", ((7, width),), {"stddev": 0.1, "seed": 3})


def activity_regularization_cases(width):
    yield OpCase("activity_regularization", ((width,),), {"l1": 0.1})
    yield OpCase("activity_regularization", ((2, 5, width),), {"l1": 0.1, "l2": 0.2})
    yield OpCase("activity_regularization", ((3, width),), {"linear": -1.5})
    yield OpCase("activity_regularization", ((width,),), {"linear": -1.5, "l2": 0.2, "summed": 1})


def orthogonal_regularization_cases(width):
    yield OpCase("orthogonal_regularization", ((3,),), {"rows": 4, "columns": width, "factor": 0.3})
    yield OpCase("orthogonal_regularization", ((2, 3),), {"rows": width, "columns": 5, "by_columns": 1, "factor": 0.3})
    yield OpCase("orthogonal_regularization", ((3,),), {"rows": 1, "columns": width, "factor": 0.3})


OPS = {
    "activity_regularization": activity_regularization_cases,
    "orthogonal_regularization": orthogonal_regularization_cases,
    "affine": affine_cases,
    "alpha_dropout": dropout_cases("alpha_dropout"),
    "batch_normalization": batch_normalization_cases,
    "dropout": dropout_cases("dropout"),
    "gaussian_dropout": dropout_cases("gaussian_dropout"),
    "gaussian_noise": gaussian_noise_cases,
    "random": random_cases,
    "group_normalization": group_normalization_cases,
    "layer_normalization": layer_normalization_cases,
    "rms_normalization": rms_normalization_cases,
    "dense": dense_cases,
    "transposed_dense": transposed_dense_cases,
    "activation": activation_cases,
    "softmax": softmax_cases("softmax"),
    "log_softmax": softmax_cases("log_softmax"),
    "add": merge_cases("add", (1, 2, 5)),
    "subtract": merge_cases("subtract", (2,)),
    "multiply": merge_cases("multiply", (1, 2, 4)),
    "average": merge_cases("average", (1, 2, 3)),
    "maximum": merge_cases("maximum", (1, 2, 4)),
    "minimum": merge_cases("minimum", (1, 2, 4)),
    "concatenate": concatenate_cases,
    "reshape": reshape_cases,
}
