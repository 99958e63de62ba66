"""Convolutions with fewer multiplications: their errors, where they are chosen, and how they are not."""

import json
import pickle

import numpy as np
import operation_cases
import pytest
import reference
from operation_cases.convolution import CAUSAL, SAME, VALID, OpCase, activation, window
from plans import Model, assert_same_step, reference_step
from safetensors import safe_open

import fastnet as fn
from fastnet import layers

TRANSFORM = "convolution transform"


def convolution(shape, filters, *size, **others):
    return OpCase("convolution", (shape,), {"filters": filters, **window(*size, **others)})


#: Tiles that fit, and that reach over the right and the lower border; blocks of tiles that end within an image, and several of them;
#: both tilings of images, and both of series.
CASES = [
    convolution((16, 16, 16), 16, 3, 3, padding=SAME),
    convolution((13, 15, 32), 48, 3, 3, padding=SAME, **activation("relu")),
    convolution((13, 14, 48), 16, 3, 3, padding=VALID, **activation("silu")),
    convolution((7, 6, 16), 32, 3, 3, padding=SAME, use_bias=0),
    convolution((6, 37, 16), 16, 3, 3, padding=VALID, **activation("elu")),
    convolution((4, 4, 1040), 16, 3, 3, padding=SAME),
    convolution((8, 10, 16), 1040, 3, 3, padding=VALID),
    convolution((38, 16), 32, 1, 3, padding=SAME),
    convolution((39, 32), 16, 1, 3, padding=CAUSAL, **activation("gelu")),
    convolution((41, 16), 48, 1, 5, padding=SAME, **activation("relu")),
    convolution((40, 48), 16, 1, 5, padding=VALID),
    convolution((29, 16), 16, 1, 5, padding=CAUSAL, use_bias=0),
    convolution((3, 22, 16), 32, 1, 5, padding=SAME),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.shapes[0]} {case.attributes['filters']}")
def test_as_the_reference(case, isa):
    """Output and all gradients within 1e-5 of the largest, for a full batch and a single row; the same bits for any number of threads."""
    graph, rows = case.graph(), 7 if len(case.shapes[0]) == 2 or case.shapes[0][-1] < 1000 else 2
    for n_rows in (rows, 1):
        inputs = operation_cases.arrays(case.shapes, n_rows, "float32")
        seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], n_rows, "float32", seed=1)
        first = None
        for n_threads in (1, 2, 3):
            model = Model(graph, "float32", max_rows=rows, n_threads=n_threads, input_gradients=True)
            assert model.plan.stage_labels().count(TRANSFORM) == 2
            step = model.gradients(inputs, seeds=seeds)
            if first is None:
                first = step
                expected = reference_step(graph, [array for array, _ in graph.parameters], inputs, seeds=seeds)
                for found, exact in (
                    (step.outputs[0], expected.outputs[0]),
                    *zip(step.input_gradients, expected.input_gradients),
                    *zip(step.parameter_gradients, expected.parameter_gradients),
                ):
                    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()
            assert_same_step(step, first, 0, f"{n_threads} threads")


@pytest.mark.parametrize("draw", [lambda random, size: random.normal(size=size), lambda random, size: random.uniform(size=size)])
def test_errors_with_many_channels(draw, isa):
    """4x4 tiles, at the number of channels up to which they are taken."""
    graph = convolution((8, 8, 1024), 16, 3, 3, padding=SAME).graph()
    x = draw(np.random.default_rng(0), (1, 8, 8, 1024)).astype("float32")
    model = Model(graph, "float32", max_rows=1, training=False)
    assert TRANSFORM in model.plan.stage_labels()
    (found, _), kernel = model.predict([x]), graph.parameters[0][0].astype("float32")
    exact = reference.OPS["convolution"].forward(
        [x.astype(float)], [kernel.astype(float), 0 * found[0, 0, 0]], **graph.nodes[0][4]
    )
    bias = graph.parameters[1][0].astype("float32")
    assert np.abs(found - exact - bias).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize(
    "shape, filters, size, others",
    [
        ((16, 16, 12), 16, (3, 3), {}),  # few channels
        ((16, 16, 24), 16, (5, 5), {}),  # another window
        ((16, 16, 16), 16, (3, 3), {"strides": (2, 2)}),
        ((16, 16, 16), 16, (3, 3), {"dilation": (2, 1)}),
        ((16, 16, 32), 32, (3, 3), {"groups": 2}),
        ((5, 5, 16), 16, (3, 3), {"padding": SAME}),  # most of four tiles would be outside
        ((16, 16, 16), 16, (3, 3), {"precise": 1}),
    ],
)
def test_where_it_is_not_chosen(shape, filters, size, others, isa):
    model = Model(convolution(shape, filters, *size, **others).graph(), "float32", max_rows=4)
    assert TRANSFORM not in model.plan.stage_labels()


def test_float64_is_direct(isa):
    model = Model(CASES[0].graph(), "float64", max_rows=4)
    assert TRANSFORM not in model.plan.stage_labels()


def test_predictions_are_the_same_in_any_batch(isa):
    graph = convolution((12, 12, 16), 32, 3, 3, padding=SAME, **activation("relu")).graph()
    inputs = operation_cases.arrays([(12, 12, 16)], 9, "float32")
    whole = Model(graph, "float32", max_rows=9, training=False)
    assert TRANSFORM in whole.plan.stage_labels()
    expected = whole.predict(inputs)[0]
    for rows in (1, 2, 5):
        assert np.array_equal(Model(graph, "float32", max_rows=rows, training=False).predict(inputs, rows)[0], expected)


def residual(seed=0):
    """With all that a convolution has done to its pieces: an activation, a normalisation's sums, a sum with a gradient that is added to."""
    x = inputs = fn.Input((10, 11, 16))
    for _ in range(2):
        y = layers.Conv2D(16, 3, padding="same", activation="gelu", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(y))
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Conv2D(16, 3, activation="relu")(layers.MaxPooling2D()(x))
    return fn.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)), seed=seed)


def trained(**options):
    random = np.random.default_rng(3)
    model = residual()
    model.compile("adam", "sparse_categorical_crossentropy", **options)
    history = model.fit(random.normal(size=(24, 10, 11, 16)), random.integers(0, 3, 24), batch_size=8, epochs=2, verbose=0)
    return model, history.history["loss"]


def test_a_residual_network(isa):
    """Trained with it, by one to three threads, and without."""
    model, losses = trained(n_threads=1)
    assert model._latest_plan().stage_labels().count(TRANSFORM) == 8
    for n_threads in (2, 3):
        other, _ = trained(n_threads=n_threads)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights()))
    precise, expected = trained(precise=True)
    assert TRANSFORM not in precise._latest_plan().stage_labels()
    assert losses == pytest.approx(expected, rel=1e-4) and losses != expected


def test_precise_is_saved(tmp_path):
    """In files, copies and the description for C."""
    model, _ = trained(precise=True)
    x = np.random.default_rng(0).normal(size=(5, 10, 11, 16)).astype("float32")
    expected = model.predict(x)
    model.save(tmp_path / "model.safetensors")
    for other in (fn.load_model(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict(x), expected)
        other.fit(x, np.zeros(5), verbose=0)
        assert TRANSFORM not in other._latest_plan().stage_labels()
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        description = json.loads(file.metadata()["plan"])
    for part in ("predict", "train"):
        found = [node["attributes"].get("precise") for node in description[part]["nodes"] if node["op"] == "convolution"]
        assert len(found) == 5 and set(found) == {1}
    model.compile("adam", "sparse_categorical_crossentropy")
    assert not np.array_equal(model.predict(x), expected)


def test_a_number_that_is_none_stays_near(isa):
    """It is in one tile, or in those whose windows see it."""
    x = np.zeros((2, 16, 16, 16), "float32")
    x[0, 9, 10, 1] = np.nan
    model = fn.Sequential([fn.Input(x.shape[1:]), layers.Conv2D(16, 3, padding="same")], seed=0)
    found = np.isnan(model.predict(x)).any(axis=-1)
    assert found[0, 8:11, 9:12].all() and not found[1].any()
    found[0, 5:14, 6:15] = False
    assert not found.any()
