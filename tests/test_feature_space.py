"""FeatureSpace, against the same made by hand in NumPy, in the order in which Keras joins it: columns by name, then crosses by name."""

import numpy as np
import pandas as pd
import pytest

import fastnet as fn

FeatureSpace, layers = fn.utils.FeatureSpace, fn.layers
RANDOM = np.random.default_rng(0)
N = 60
DATA = {
    "width": RANDOM.normal(3, 2, N), "color": RANDOM.permutation(np.repeat(["red", "green", "blue"], [30, 20, 10])),
    "code": RANDOM.permutation(np.repeat([7, 70, 700], [30, 20, 10])), "age": RANDOM.uniform(0, 80, N), "height": RANDOM.normal(size=N),
}  # fmt: skip
FRAME = pd.DataFrame(DATA)
BOUNDARIES = [20.0, 40.0]


def space(**options):
    features = {
        "width": "float_normalized", "color": "string_categorical", "code": FeatureSpace.integer_categorical(num_oov_indices=2),
        "age": FeatureSpace.float_discretized(bin_boundaries=BOUNDARIES), "height": FeatureSpace.float_rescaled(2.0, 1.0),
    }  # fmt: skip
    crosses = [("color", "code"), FeatureSpace.cross(("color", "age"), 5)]
    return FeatureSpace(features, crosses=crosses, crossing_dim=6, **options)


def by_hand(data):
    words, codes = ["red", "green", "blue"], [7, 70, 700]  # the most frequent first
    color = np.array([1 + words.index(one) if one in words else 0 for one in np.asarray(data["color"])])
    code = np.array([2 + codes.index(one) if one in codes else one % 2 for one in np.asarray(data["code"])])
    age = np.digitize(data["age"], BOUNDARIES)
    width = (np.asarray(data["width"]) - DATA["width"].mean()) / DATA["width"].std()
    crossed = [layers.HashedCrossing(bins)([color, other]) for bins, other in ((5, age), (6, code))]
    return {
        "age": np.eye(3)[age], "code": np.eye(5)[code], "color": np.eye(4)[color], "height": 2 * np.asarray(data["height"])[:, None] + 1,
        "width": width[:, None], "color_X_age": np.eye(5)[crossed[0]], "color_X_code": np.eye(6)[crossed[1]],
    }  # fmt: skip


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


BATCHES = [{name: column[i : i + 17] for name, column in DATA.items()} for i in range(0, N, 17)]


@pytest.mark.parametrize("data", [DATA, FRAME, BATCHES, iter(BATCHES)], ids=["columns", "frame", "batches", "iterator"])
def test_joined(data):
    features = space()
    features.adapt(data)
    assert features.preprocessors["color"].get_vocabulary() == ["[UNK]", "red", "green", "blue"]
    other = {
        **{name: column[:9] for name, column in DATA.items()},
        "color": ["blue", "mauve", "red"] * 3,
        "code": [700, 5, 8] * 3,
    }
    for given in (DATA, FRAME, other):
        close(features(given), np.concatenate(list(by_hand(given).values()), axis=1))
    row = {name: column[3] for name, column in DATA.items()}
    close(features(row), np.concatenate(list(by_hand(DATA).values()), axis=1)[3])


def test_each_by_its_name():
    features = space(output_mode="dict")
    features.adapt(DATA)
    found, expected = features(FRAME), by_hand(DATA)
    assert list(found) == list(expected)
    for name in expected:
        close(found[name], expected[name])
    parts = FeatureSpace({"color": FeatureSpace.string_categorical(output_mode="int"), "width": "float"}, output_mode="dict")
    parts.adapt(DATA)
    np.testing.assert_array_equal(parts(DATA)["color"], by_hand(DATA)["color"].argmax(axis=1)[:, None])
    close(parts(DATA)["width"], DATA["width"][:, None])


def test_a_model_on_the_features(tmp_path):
    """The same as a model that is given the joined features; all of it is in the model's file."""
    features = space()
    features.adapt(DATA)
    y = RANDOM.normal(size=(N, 1))
    whole = fn.Model(list(features.get_inputs().values()), layers.Dense(1)(features.get_encoded_features()), seed=0)
    rest = fn.Sequential([fn.Input((25,)), layers.Dense(1)], seed=0)
    rest.set_weights(whole.get_weights()[-2:])
    losses = []
    for model, x in ((whole, FRAME), (rest, features(DATA))):
        model.compile(fn.optimizers.SGD(0.01), "mse")
        losses.append(model.fit(x, y, shuffle=False, epochs=3, verbose=0).history["loss"])
    close(*losses)
    close(whole.predict(DATA), rest.predict(features(DATA)))
    whole.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fn.load_model(tmp_path / "model.safetensors").predict(DATA), whole.predict(DATA))
    features.save(tmp_path / "space.json")
    np.testing.assert_array_equal(FeatureSpace.load(tmp_path / "space.json")(FRAME), features(DATA))


def test_columns_with_a_layer_of_ones_own():
    texts = ["1st string", "2nd string", "3rd string"]
    features = FeatureSpace({"text": FeatureSpace.feature("string", layers.TextVectorization(output_mode="tf_idf"), "float")})
    features.adapt({"text": texts})
    alone = layers.TextVectorization(output_mode="tf_idf")
    alone.adapt(texts)
    close(features({"text": texts}), alone(texts))
    hashed = FeatureSpace({"color": "string_hashed", "code": FeatureSpace.integer_hashed(4)}, hashing_dim=3)
    expected = np.concatenate([np.eye(4)[layers.Hashing(4)(DATA["code"])], np.eye(3)[layers.Hashing(3)(DATA["color"])]], axis=1)
    close(hashed(DATA), expected)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: FeatureSpace({}), "features must be a dictionary of at least one column"),
    (lambda: FeatureSpace({"a": "floats"}), "column 'a' must be a Feature or one of"),
    (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), r"crosses name \['b'\]"),
    (lambda: FeatureSpace({"a": "float"}, output_mode="list"), "output_mode must be one of"),
    (lambda: space()(DATA), "does not know the columns"),
    (lambda: space().get_inputs(), "does not know the columns"),
    (lambda: space().adapt({"width": [1.0]}), "there are no columns"),
    (lambda: FeatureSpace({"a": "float"})([1.0]), "takes a dictionary of columns or a frame, got list"),
    (lambda: FeatureSpace({"a": FeatureSpace.feature("float32", layers.Identity(), "one_hot")})({"a": [1.0]}), "Identity gives no indices"),
    (lambda: FeatureSpace({"a": FeatureSpace.string_hashed(3, output_mode="int")})({"a": ["x"]}), "which are not joined"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()
