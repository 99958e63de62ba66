"""What the engine knows is asked of it: limits, lists of operations, names of choices."""

import pathlib
import re

import numpy as np
import operation_cases
import pytest
from plans import Model

import fastnet as fn
from fastnet import _core, layers

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = (ROOT / "csrc" / "fastnet.h").read_text(encoding="utf-8")


@pytest.mark.parametrize("op", _core.registry("ops"))
def test_operations_that_keep_numbers(op):
    """Where the engine says so there is no other number in the outputs, in training and without; else there is in some case."""
    others = []
    for case in operation_cases.OPS[op](5):
        model = Model(case.graph(), "float64", max_rows=3)
        inputs = operation_cases.arrays(case.shapes, 3, "float64")
        known = np.append(np.concatenate([array.ravel() for array in inputs]), 0)
        seeds = operation_cases.arrays([model.graph.shapes[value] for value, *_ in model.graph.outputs], 3, "float64", seed=1)
        found = [*model.gradients(inputs, seeds=seeds).outputs, *model.predict(inputs)]
        others.append(any(not np.isin(output, known).all() for output in found))
        assert not (_core.keeps_numbers(op, case.shapes, case.attributes) and others[-1]), case
    keep = [_core.keeps_numbers(op, case.shapes, case.attributes) for case in operation_cases.OPS[op](5)]
    assert any(keep) or any(others)


TOKENS = np.array([[1, 5, 0, 3], [2, 2, 4, 0]])
IMAGES = TOKENS.reshape(2, 2, 2, 1)
#: Layers that leave tokens tokens, with NumPy's words for them.
KEEPING = {
    "permute": (lambda x: layers.Permute((2, 1))(layers.Reshape((2, 2))(x)), lambda x: x.reshape(2, 2, 2).swapaxes(1, 2)),
    "flatten": (layers.Flatten(), lambda x: x),
    "repeat": (layers.RepeatVector(3), lambda x: np.repeat(x[:, None], 3, axis=1)),
    "concatenate": (lambda x: layers.Concatenate()([x, layers.Activation("linear")(x)]), lambda x: np.concatenate([x, x], 1)),
    "maximum": (lambda x: layers.Maximum()([x, layers.Reshape((4,))(x)]), lambda x: x),
    "pad": (
        lambda x: layers.ZeroPadding1D((1, 2))(layers.Reshape((4, 1))(x)),
        lambda x: np.pad(x, ((0, 0), (1, 2)))[..., None],
    ),
    "crop": (lambda x: layers.Cropping1D((1, 1))(layers.Reshape((4, 1))(x)), lambda x: x[:, 1:-1, None]),
    "upsampling": (lambda x: layers.UpSampling1D(2)(layers.Reshape((4, 1))(x)), lambda x: np.repeat(x, 2, axis=1)[..., None]),
    "max pooling": (
        lambda x: layers.MaxPooling1D(2)(layers.Reshape((4, 1))(x)),
        lambda x: x.reshape(2, 2, 2).max(axis=2)[..., None],
    ),
}


@pytest.mark.parametrize("name", KEEPING)
def test_tokens_may_be_moved_before_they_are_embedded(name):
    make, expected = KEEPING[name]
    x = fn.Input((4,))
    model = fn.Model(x, layers.Embedding(6, 3, name="words")(make(x)), seed=0)
    np.testing.assert_array_equal(model.predict(TOKENS), model.get_weights()[0][expected(TOKENS)])
    with pytest.raises(ValueError, match="layer 'words'.* 6 in row 1"):
        model.predict(np.where(TOKENS == 4, 6, TOKENS))


@pytest.mark.parametrize(
    "layer, expected",
    [
        (layers.Dropout(0.5), lambda tokens: tokens),
        (layers.Rescaling(2.0), lambda tokens: tokens * 2),
        (layers.Activation("relu"), lambda tokens: tokens),
        (layers.Lambda(lambda x: 3 - x), lambda tokens: 3 - tokens),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_tokens_may_be_computed(layer, expected):
    """Those out of range become NaN, since nobody can look at them before."""
    x = fn.Input((2,))
    model = fn.Model(x, layers.Embedding(6, 3, name="words")(layer(x)), seed=0)
    weights, tokens = model.get_weights()[0], np.array([[0, 1], [2, 1]])
    np.testing.assert_array_equal(model.predict(tokens), weights[expected(tokens)])
    assert np.isnan(model.predict(tokens + 60)).all()


def test_names_of_choices_are_those_of_the_engine():
    """In the order of the enumerations of csrc, by what the layers do with them."""
    assert _core.attribute_choices("convolution", "padding") == ("valid", "same", "causal")
    assert _core.attribute_choices("random_affine", "fill") == ("constant", "nearest", "reflect", "wrap")
    ranges = _core.attribute_ranges("ops")
    for op in ("convolution", "depthwise_convolution", "transposed_convolution"):
        assert ranges[op]["padding"][:2] == (0, 2)
    with pytest.raises(ValueError, match="dense has no attribute 'units' of several choices"):
        _core.attribute_choices("dense", "units")


def test_limits_are_those_of_the_engine():
    limit = {name: int(value) for name, value in re.findall(r"#define FN_(MAX_\w+) (\d+)", HEADER)}
    layers.Reshape((1,) * limit["MAX_RANK"])(fn.Input((1,)))
    with pytest.raises(ValueError, match=f"at most {limit['MAX_RANK']} axes"):
        layers.Reshape((1,) * (limit["MAX_RANK"] + 1))(fn.Input((1,)))
    model = fn.Sequential([fn.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse", n_threads=limit["MAX_THREADS"])
    with pytest.raises(ValueError, match=f"n_threads must be at most {limit['MAX_THREADS']}, got"):
        model.compile("sgd", "mse", n_threads=limit["MAX_THREADS"] + 1)


SEEDED = [layers.Dropout, layers.GaussianNoise, layers.LSTM, layers.RandomZoom]


@pytest.mark.parametrize("layer", SEEDED, ids=lambda layer: layer.__name__)
def test_the_largest_seed_is_that_of_the_engine(layer):
    first = {"Dropout": 0.1, "GaussianNoise": 0.1, "LSTM": 3, "RandomZoom": 0.2}[layer.__name__]
    largest = int(_core.attribute_ranges("ops")["dropout"]["seed"][1])
    shape = (4, 3) if layer is layers.LSTM else (4, 4, 1)
    layer(first, seed=largest)(fn.Input(shape))
    for seed in (largest + 1, -1):
        with pytest.raises(ValueError, match=f"seed must be between 0 and {largest}, got {seed}"):
            layer(first, seed=seed)


def test_sizes_of_arrays_are_not_written_again_in_cython():
    """A literal would stay behind when the header's changes, and what the engine writes would be beyond the end."""
    for path in (ROOT / "src" / "fastnet").glob("*.p[xy][dxi]"):
        text = path.read_text(encoding="utf-8")
        declared = re.findall(r"^ *(?:cdef )?(?:const )?\w+ \*?\w+\[\d+\]$", text, flags=re.MULTILINE)
        assert not declared, f"{path.name}: {declared}"
