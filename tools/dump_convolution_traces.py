"""Writes tests/traces/convolution_keras.npz: what Keras's convolution layers compute.

    KERAS_BACKEND=jax python tools/dump_convolution_traces.py      # needs Keras 3 and JAX

Each case is {"class_name", "arguments", "shape"}, the shape with the batch. The file holds for case i: x, dy, y and dx,
the gradient of sum(dy * y); the weights in Keras's order, and their gradients.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

PATH = Path(__file__).parent.parent / "tests" / "traces" / "convolution_keras.npz"
CASES = [
    ("Conv2D", {"filters": 5, "kernel_size": 3}, (2, 6, 7, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": [3, 2], "strides": [2, 1], "padding": "same", "activation": "relu"}, (2, 7, 5, 2)),
    ("Conv2D", {"filters": 3, "kernel_size": [2, 3], "strides": 2, "padding": "same"}, (2, 6, 8, 2)),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "dilation_rate": [2, 1], "padding": "same", "activation": "tanh"}, (2, 6, 5, 4)),
    ("Conv2D", {"filters": 6, "kernel_size": [2, 3], "groups": 2, "use_bias": False}, (2, 5, 5, 4)),
    ("Conv2D", {"filters": 2, "kernel_size": 5, "padding": "same", "activation": "softmax"}, (2, 2, 3, 1)),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "strides": 3, "activation": "gelu"}, (2, 5, 7, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 3}, (2, 9, 5)),
    ("Conv1D", {"filters": 3, "kernel_size": 4, "strides": 3, "padding": "same"}, (2, 10, 2)),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": "causal", "activation": "elu"}, (2, 7, 2)),
    ("Conv1D", {"filters": 3, "kernel_size": 4, "strides": 2, "padding": "causal"}, (2, 9, 2)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 2}, (2, 6, 4)),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same", "activation": "relu"}, (2, 5, 6, 3)),
    ("DepthwiseConv2D", {"kernel_size": [3, 2], "strides": 2, "depth_multiplier": 2}, (2, 6, 7, 3)),
    ("DepthwiseConv2D", {"kernel_size": 2, "dilation_rate": 2, "padding": "same", "use_bias": False}, (2, 5, 4, 5)),
    ("DepthwiseConv1D", {"kernel_size": 4, "strides": 2, "padding": "same", "depth_multiplier": 3}, (2, 9, 2)),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "padding": "same", "activation": "tanh"}, (2, 5, 6, 3)),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 2, "strides": 2, "depth_multiplier": 3, "use_bias": False}, (2, 6, 5, 2)),
    ("SeparableConv1D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2}, (2, 9, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}, (2, 3, 4, 3)),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": [3, 4], "strides": [2, 3], "padding": "same", "activation": "relu"},
        (2, 4, 3, 2),
    ),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 2, "strides": 3}, (2, 3, 2, 3)),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 1, "strides": [1, 2], "padding": "same"}, (2, 3, 2, 3)),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0}, (2, 3, 4, 2)),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": [4, 5], "strides": 3, "padding": "same", "output_padding": [2, 1]},
        (2, 3, 4, 2),
    ),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": [2, 3], "strides": 2, "output_padding": 1, "use_bias": False},
        (2, 3, 4, 2),
    ),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "dilation_rate": [2, 1], "activation": "gelu"}, (2, 3, 4, 2)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 2, "padding": "same"}, (2, 5, 4)),
    ("Conv1DTranspose", {"filters": 2, "kernel_size": 5, "strides": 2}, (2, 4, 3)),
    ("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1}, (2, 4, 3)),
    ("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "dilation_rate": 3}, (2, 4, 3)),
]


def run(number, class_name, arguments, shape):
    """Arrays of a case by name."""
    random = np.random.default_rng(number)
    layer = getattr(keras.layers, class_name)(**arguments)
    layer.build((None, *shape[1:]))
    weights = [random.normal(size=weight.shape).astype(np.float32) for weight in layer.weights]
    x = random.normal(size=shape).astype(np.float32)
    y = layer.stateless_call(weights, [], x)[0]
    dy = random.normal(size=y.shape).astype(np.float32)
    gradients, dx = jax.grad(lambda w, x: (layer.stateless_call(w, [], x)[0] * dy).sum(), argnums=(0, 1))(weights, x)
    arrays = {"x": x, "dy": dy, "y": y, "dx": dx}
    for k, (weight, gradient) in enumerate(zip(weights, gradients)):
        arrays.update({f"weight/{k}": weight, f"gradient/{k}": gradient})
    return {f"{number}/{name}": np.asarray(value, np.float32) for name, value in arrays.items()}


def main():
    jax.config.update("jax_default_matmul_precision", "highest")
    arrays = {}
    for number, case in enumerate(CASES):
        arrays.update(run(number, *case))
    cases = [{"class_name": name, "arguments": arguments, "shape": shape} for name, arguments, shape in CASES]
    facts = {"versions": {"keras": keras.__version__, "jax": jax.__version__}, "cases": cases}
    np.savez_compressed(PATH, facts=json.dumps(facts), **arrays)


if __name__ == "__main__":
    main()
