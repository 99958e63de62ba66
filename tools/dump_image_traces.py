"""Writes tests/traces/images_keras.npz: what Keras's layers on images and sequences compute.

    KERAS_BACKEND=tensorflow python tools/dump_image_traces.py      # needs Keras 3 and TensorFlow

Each case is {"class_name", "arguments", "shape"}, the shape with the batch. The file holds for case i: x, dy, y and dx,
the gradient of sum(dy * y); for what changes images at random, with factors that leave no choice, x and y alone: there
the gradient of TensorFlow is an approximation. The numbers of x are small integers, so that many windows have several maxima; not for
global pooling, where Keras divides the gradient between them.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

PATH = Path(__file__).parent.parent / "tests" / "traces" / "images_keras.npz"
CASES = (
    [
        (kind + axes, arguments, shape)
        for kind in ("MaxPooling", "AveragePooling")
        for axes, arguments, shape in (
            ("2D", {"pool_size": 2}, (2, 6, 8, 3)),
            ("2D", {"pool_size": [3, 2], "strides": [2, 1]}, (2, 8, 5, 20)),
            ("2D", {"pool_size": 3, "strides": 2, "padding": "same"}, (2, 6, 7, 5)),
            ("2D", {"pool_size": [2, 5], "strides": [3, 3], "padding": "same"}, (1, 5, 8, 1)),
            ("2D", {"pool_size": 2, "padding": "same"}, (3, 1, 1, 4)),
            ("1D", {"pool_size": 2}, (2, 7, 3)),
            ("1D", {"pool_size": 4, "strides": 3, "padding": "same"}, (2, 9, 17)),
        )
    ]
    + [
        (f"Global{kind}Pooling{axes}", {"keepdims": keepdims}, shape)
        for kind in ("Max", "Average")
        for axes, keepdims, shape in (
            ("2D", False, (3, 4, 5, 6)),
            ("2D", True, (2, 3, 3, 20)),
            ("1D", False, (3, 9, 4)),
            ("1D", True, (3, 1, 4)),
        )
    ]
    + [
        ("ZeroPadding1D", {}, (2, 5, 3)),
        ("ZeroPadding1D", {"padding": [2, 0]}, (2, 5, 3)),
        ("ZeroPadding2D", {"padding": [1, 2]}, (2, 3, 4, 3)),
        ("ZeroPadding2D", {"padding": [[1, 0], [0, 3]]}, (2, 3, 4, 3)),
        ("Cropping1D", {}, (2, 5, 3)),
        ("Cropping1D", {"cropping": 2}, (2, 5, 3)),
        ("Cropping2D", {"cropping": [1, 0]}, (2, 3, 4, 3)),
        ("Cropping2D", {"cropping": [[0, 2], [1, 1]]}, (2, 3, 4, 3)),
        ("UpSampling1D", {"size": 3}, (2, 5, 3)),
        ("UpSampling2D", {}, (2, 3, 4, 3)),
        ("UpSampling2D", {"size": [2, 3], "interpolation": "bilinear"}, (2, 3, 4, 5)),
        ("UpSampling2D", {"size": [5, 1], "interpolation": "bilinear"}, (2, 1, 4, 1)),
        ("Permute", {"dims": [2, 1]}, (2, 5, 3)),
        ("Permute", {"dims": [3, 1, 2]}, (2, 3, 4, 5)),
        ("RepeatVector", {"n": 4}, (3, 5)),
        ("LayerNormalization", {}, (2, 4, 5, 6)),
        ("LayerNormalization", {"epsilon": 1e-5}, (2, 3, 3, 32)),
        ("GroupNormalization", {"groups": 3}, (2, 4, 5, 6)),
    ]
)
#: With nothing left to chance.
FIXED = [
    ("RandomTranslation", {"height_factor": [0.25, 0.25], "width_factor": [-0.5, -0.5]}, (2, 4, 6, 3)),
    *(
        (name, {**arguments, "fill_mode": fill_mode, "fill_value": 2.5, "interpolation": interpolation}, (2, 5, 6, 2))
        for fill_mode, interpolation in (("reflect", "bilinear"), ("constant", "bilinear"), ("nearest", "nearest"))
        for name, arguments in (
            ("RandomTranslation", {"height_factor": [-0.37, -0.37], "width_factor": [0.83, 0.83]}),
            ("RandomRotation", {"factor": [0.07, 0.07]}),
            ("RandomRotation", {"factor": [-0.45, -0.45]}),
            ("RandomZoom", {"height_factor": [0.3, 0.3], "width_factor": [-0.4, -0.4]}),
            ("RandomZoom", {"height_factor": [0.9, 0.9]}),
        )
    ),
    ("RandomBrightness", {"factor": [0.3, 0.3], "value_range": [-2.0, 3.0]}, (2, 3, 4, 3)),
    ("RandomContrast", {"factor": [0.0, 0.0], "value_range": [-1.0, 0.5]}, (2, 3, 4, 3)),
]


def run(number, class_name, arguments, shape):
    """Arrays of a case by name."""
    random = np.random.default_rng(number)
    layer = getattr(keras.layers, class_name)(**arguments)
    numbers = random.permutation(np.prod(shape)) if "Global" in class_name else random.integers(-4, 4, np.prod(shape))
    x = tf.constant(numbers.reshape(shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        dy = tf.constant(random.normal(size=y.shape), tf.float32)
        total = tf.reduce_sum(dy * y)
    arrays = {"x": x, "dy": dy, "y": y, "dx": tape.gradient(total, x)}
    return {f"{number}/{name}": np.asarray(value, np.float32) for name, value in arrays.items()}


def run_fixed(number, class_name, arguments, shape):
    x = np.random.default_rng(number).normal(size=shape).astype(np.float32)
    y = getattr(keras.layers, class_name)(**arguments)(x, training=True)
    return {f"{number}/x": x, f"{number}/y": np.asarray(y, np.float32)}


def main():
    arrays = {}
    for number, case in enumerate(CASES):
        arrays.update(run(number, *case))
    for number, case in enumerate(FIXED, len(CASES)):
        arrays.update(run_fixed(number, *case))
    cases = [{"class_name": name, "arguments": arguments, "shape": shape} for name, arguments, shape in CASES + FIXED]
    facts = {"versions": {"keras": keras.__version__, "tensorflow": tf.__version__}, "cases": cases}
    np.savez_compressed(PATH, facts=json.dumps(facts), **arrays)


if __name__ == "__main__":
    main()
