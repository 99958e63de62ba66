"""Models that are graphs: several inputs and outputs, shared layers, values used more than once."""

import copy
import pickle

import numpy as np
import pytest
from networks import network, rows, same_weights

import fastnet as fn
from fastnet import layers

Dense, Input, Model = layers.Dense, fn.Input, fn.Model


def two_in_two_out(seed=0, loss=None, **options):
    """a, b -> p = sum of a branch of each, q = a number from p and b"""
    a, b = Input((4,), name="a"), Input((3,), name="b")
    left, right = Dense(5, "tanh", name="left")(a), Dense(5, "tanh", name="right")(b)
    p = layers.Add(name="p")([left, right])
    q = Dense(1, name="q")(layers.Concatenate()([p, b]))
    model = Model([a, b], [p, q], seed=seed, dtype="float64")
    model.compile("sgd", loss or ["mse", "mae"], **options)
    return model


def reference_two(model, a, b):
    w, c, v, d, u, e = model.get_weights()
    p = np.tanh(a @ w + c) + np.tanh(b @ v + d)
    return p, np.concatenate([p, b], axis=1) @ u + e


def numeric_gradients(model, loss, epsilon=1e-6):
    """Of loss() by each weight, by central differences."""
    found = []
    for weight in model.trainable_weights:
        gradient = np.zeros(weight.shape)
        for index in np.ndindex(*weight.shape):
            start = weight.value[index]
            weight.value[index] = start + epsilon
            above = loss()
            weight.value[index] = start - epsilon
            gradient[index] = (above - loss()) / (2 * epsilon)
            weight.value[index] = start
        found.append(gradient)
    return found


def assert_step_follows_the_gradient(model, x, y, rate=0.5):
    """One step of plain descent goes along the numeric gradient of what evaluate computes."""
    total = lambda: (lambda r: r["loss"])(model.evaluate(x, y, return_dict=True))
    expected = numeric_gradients(model, total)
    before = [weight.value.copy() for weight in model.trainable_weights]
    model.optimizer.learning_rate = rate
    model.train_on_batch(x, y)
    for weight, start, gradient in zip(model.trainable_weights, before, expected):
        np.testing.assert_allclose((start - weight.value) / rate, gradient, rtol=1e-6, atol=1e-8)


# ---- several inputs and outputs -----------------------------------------------------------------------------


def test_several_inputs_and_outputs():
    model = two_in_two_out()
    a, b = rows(6, 4), rows(6, 3)
    expected = reference_two(model, a, b)
    for given in ([a, b], (a, b), {"a": a, "b": b}, {"b": b.tolist(), "a": a.astype(np.float32)}):
        outputs = model.predict(given)
        assert isinstance(outputs, list) and [y.shape for y in outputs] == [(6, 5), (6, 1)]
        tolerance = 1e-6 if isinstance(given, dict) and given["a"].dtype == np.float32 else 1e-13
        for y, z in zip(outputs, expected):
            np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance)
    assert model.input_names == ["a", "b"] and model.output_names == ["p", "q"]


@pytest.mark.parametrize("weights, factors", [(None, (1, 1)), ([0.5, 2], (0.5, 2)), ({"q": 3}, (1, 3)), (2.0, (2, 2))])
def test_losses_are_weighted_and_added(weights, factors):
    model = two_in_two_out(loss_weights=weights, metrics={"q": ["mse", "r2"], "p": "mae"})
    x, y = [rows(6, 4), rows(6, 3)], [rows(6, 5), rows(6, 1)]
    p, q = reference_two(model, *x)
    logs = model.evaluate(x, y, return_dict=True)
    first, second = np.mean((p - y[0]) ** 2), np.mean(np.abs(q - y[1]))
    expected = {
        "loss": factors[0] * first + factors[1] * second, "p_loss": first, "q_loss": second,
        "p_mae": np.mean(np.abs(p - y[0])), "q_mse": np.mean((q - y[1]) ** 2),
        "q_r2": 1 - np.sum((q - y[1]) ** 2) / np.sum((y[1] - y[1].mean()) ** 2),
    }  # fmt: skip
    assert list(logs) == list(expected)
    np.testing.assert_allclose(list(logs.values()), list(expected.values()), rtol=1e-12)
    assert_step_follows_the_gradient(model, x, y)
    history = model.fit(x, y, epochs=2, validation_split=0.5, batch_size=2, verbose=0).history
    assert {"loss", "p_loss", "q_loss", "val_loss", "val_q_r2", "val_p_loss"} <= set(history)


def test_targets_losses_and_weights_by_name():
    x, y = [rows(6, 4), rows(6, 3)], [rows(6, 5), rows(6, 1)]
    by_order, by_name = two_in_two_out(loss=["mse", "mae"]), two_in_two_out(loss={"q": "mae", "p": "mse"})
    weight = np.linspace(1, 2, 6)
    by_order.fit(x, y, sample_weight=[None, weight], verbose=0)
    by_name.fit({"a": x[0], "b": x[1]}, {"q": y[1], "p": y[0]}, sample_weight={"p": None, "q": weight}, verbose=0)
    assert same_weights(by_order, by_name)
    model, one = two_in_two_out(), two_in_two_out()
    model.fit(x, y, sample_weight=weight, verbose=0)
    one.fit(x, y, sample_weight=[weight, weight], verbose=0)
    assert same_weights(model, one) and not same_weights(model, by_order)


@pytest.mark.parametrize("change, words", [
    (lambda x, y: {"x": x[:1]}, ["x", "list of 2", "a, b", "1"]),
    (lambda x, y: {"x": x[0]}, ["x", "list of 2", "ndarray"]),
    (lambda x, y: {"x": {"a": x[0]}}, ["x", "['a']", "['a', 'b']"]),
    (lambda x, y: {"x": {"a": x[0], "c": x[1]}}, ["x", "'c'"]),
    (lambda x, y: {"x": [x[1], x[0]]}, ["x['a']", "(6, 3)", "(n, 4)"]),
    (lambda x, y: {"x": [x[0], x[1][:5]]}, ["x['b'] has 5 rows", "x['a'] has 6"]),
    (lambda x, y: {"y": y[:1]}, ["y", "list of 2", "p, q"]),
    (lambda x, y: {"y": {"p": y[0], "r": y[1]}}, ["y", "'r'", "['p', 'q']"]),
    (lambda x, y: {"y": [y[0], y[1][:4]]}, ["x has 6 rows", "y['q'] has 4"]),
    (lambda x, y: {"sample_weight": [np.ones(6)]}, ["sample_weight", "list of 2"]),
    (lambda x, y: {"sample_weight": {"q": np.ones(6), "p": np.ones(5)}}, ["sample_weight", "(5,)"]),
    (lambda x, y: {"class_weight": {0: 1}}, ["class_weight", "one output"]),
])  # fmt: skip
def test_data_that_do_not_match_the_names(change, words):
    model = two_in_two_out()
    before = model.get_weights()
    x, y = [rows(6, 4), rows(6, 3)], [rows(6, 5), rows(6, 1)]
    with pytest.raises(ValueError) as caught:
        model.fit(**{"x": x, "y": y, **change(x, y)})
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert same_weights(before, model)


@pytest.mark.parametrize("options, words", [
    ({"loss": ["mse"]}, ["loss", "got 1", "2 outputs"]),
    ({"loss": {"p": "mse"}}, ["'q'", "no loss"]),
    ({"loss": {"p": "mse", "r": "mse"}}, ["loss", "'r'", "['p', 'q']"]),
    ({"loss": ["mse", "sparse_categorical_crossentropy"]}, ["'q'", "sparse_categorical_crossentropy", "(None, 1)"]),
    ({"loss": "mse", "metrics": {"r": "mse"}}, ["metrics", "'r'"]),
    ({"loss": "mse", "metrics": [["mse"]]}, ["metrics", "got 1"]),
    ({"loss": "mse", "loss_weights": [1]}, ["loss_weights", "got 1"]),
    ({"loss": "mse", "loss_weights": [1, -1]}, ["loss_weights", "-1"]),
    ({"loss": "mse", "loss_weights": [1, np.nan]}, ["loss_weights", "nan"]),
])  # fmt: skip
def test_compile_checks_what_belongs_to_which_output(options, words):
    model = two_in_two_out()
    with pytest.raises(ValueError) as caught:
        model.compile("sgd", **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    model.fit([rows(6, 4), rows(6, 3)], [rows(6, 5), rows(6, 1)], verbose=0)  # as compiled before


# ---- shapes of graphs ---------------------------------------------------------------------------------------


def test_a_value_used_by_several_layers():
    x, y = rows(5, 4), rows(5, 2)
    tensor = Input((4,))
    h = Dense(3, "tanh")(tensor)
    parts = [Dense(2)(h), layers.Multiply()([Dense(2)(h), Dense(2)(tensor)]), Dense(2)(Dense(3)(h))]
    model = Model(tensor, layers.Add()(parts), seed=1, dtype="float64")
    model.compile("sgd", "mse")
    assert_step_follows_the_gradient(model, x, y)


def test_a_shared_layer_learns_from_all_its_uses():
    a, b = Input((4,)), Input((4,))
    shared = Dense(3, "tanh", name="shared")
    model = Model([a, b], layers.Subtract()([shared(a), shared(b)]), seed=1, dtype="float64")
    assert model.count_params() == 15 and len(model.layers) == 2
    x, y = [rows(5, 4), rows(5, 4, seed=1)], rows(5, 3)
    w, c = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(x[0] @ w + c) - np.tanh(x[1] @ w + c), rtol=1e-12)
    model.compile("sgd", "mse")
    assert_step_follows_the_gradient(model, x, y)


def test_a_layer_may_follow_itself():
    x, y = rows(5, 3), rows(5, 3)
    tensor, step = Input((3,)), Dense(3, "tanh")
    model = Model(tensor, step(step(step(tensor))), seed=1, dtype="float64")
    model.compile("sgd", "mse")
    w, c = model.get_weights()
    expected = x
    for _ in range(3):
        expected = np.tanh(expected @ w + c)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-12)
    assert_step_follows_the_gradient(model, x, y)


@pytest.mark.parametrize("merge", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_gradients_of_merges(merge):
    a, b = Input((4,)), Input((2,))
    left, right = Dense(3)(a), Dense(3, "tanh")(b)
    model = Model([a, b], Dense(2)(getattr(layers, merge)()([left, right])), seed=1, dtype="float64")
    model.compile("sgd", "mse")
    assert_step_follows_the_gradient(model, [rows(5, 4), rows(5, 2)], rows(5, 2))


def test_a_merge_of_a_value_with_itself():
    x, y = rows(5, 4), rows(5, 3)
    tensor = Input((4,))
    h = Dense(3, "tanh")(tensor)
    for merge, function in [("Multiply", lambda h: h * h), ("Add", lambda h: 2 * h), ("Average", lambda h: h)]:
        model = Model(tensor, getattr(layers, merge)()([h, h]), seed=1, dtype="float64")
        w, c = model.get_weights()
        np.testing.assert_allclose(model.predict(x), function(np.tanh(x @ w + c)), rtol=1e-12)
        model.compile("sgd", "mse")
        assert_step_follows_the_gradient(model, x, y)


def test_a_deep_network():
    """Deeper than Python's recursion limit."""
    tensor = first = Input((2,))
    for _ in range(1500):
        tensor = layers.Activation("linear")(tensor)
    model = Model(first, Dense(1)(tensor), dtype="float64")
    x = rows(3, 2)
    np.testing.assert_allclose(model.predict(x), x @ model.get_weights()[0], rtol=1e-13)


def test_many_inputs_of_one_merge():
    tensors = [Input((2,)) for _ in range(16)]
    model = Model(tensors, layers.Add()(tensors), dtype="float64")
    arrays = [rows(3, 2, seed=i) for i in range(16)]
    np.testing.assert_allclose(model.predict(arrays), np.sum(arrays, axis=0), rtol=1e-13)
    tensor = Input((2,))
    model = Model(tensor, layers.Concatenate()([tensor] * 40), dtype="float64")
    assert np.array_equal(model.predict(arrays[0]), np.tile(arrays[0], 40))


# ---- outputs of every kind --------------------------------------------------------------------------------


def assert_trains(model, x, ys):
    """With a loss on each output: what is logged is right and a step follows the gradient."""
    model.compile("sgd", "mse")
    outputs = model.predict(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    losses = [np.mean((p - y) ** 2) for p, y in zip(outputs, ys)]
    logs = model.evaluate(x, ys if len(ys) > 1 else ys[0], return_dict=True)
    np.testing.assert_allclose(logs["loss"], sum(losses), rtol=1e-12)
    if len(ys) > 1:
        np.testing.assert_allclose([logs[f"{name}_loss"] for name in model.output_names], losses, rtol=1e-12)
    assert_step_follows_the_gradient(model, x, ys if len(ys) > 1 else ys[0])


def test_an_output_that_others_are_computed_from():
    tensor = Input((4,))
    h = Dense(3, "tanh")(tensor)
    model = Model(tensor, [Dense(2)(h), h], seed=1, dtype="float64")
    assert_trains(model, rows(5, 4), [rows(5, 2), rows(5, 3)])


def test_an_output_given_twice():
    tensor = Input((4,))
    h = Dense(3, "tanh")(tensor)
    model = Model(tensor, [h, h], seed=1, dtype="float64")
    assert model.output_names == ["dense", "dense_output_1"]
    assert_trains(model, rows(5, 4), [rows(5, 3), rows(5, 3, seed=1)])


def test_an_output_and_its_reshape():
    tensor = Input((4,))
    h = Dense(6, "tanh")(tensor)
    model = Model(tensor, [h, layers.Reshape((2, 3))(h), layers.Reshape((3, 2))(h)], seed=1, dtype="float64")
    y = rows(5, 6)
    assert_trains(model, rows(5, 4), [y, (2 * y).reshape(5, 2, 3), (y - 1).reshape(5, 3, 2)])


def test_outputs_of_one_shared_layer():
    a, b = Input((4,)), Input((4,))
    shared = Dense(3)
    model = Model([a, b], [shared(a), shared(b)], seed=1, dtype="float64")
    assert_trains(model, [rows(5, 4), rows(5, 4, seed=1)], [rows(5, 3), rows(5, 3, seed=1)])


def test_outputs_that_are_inputs():
    x = rows(5, 4)
    a = Input((4,), name="a")
    h = Dense(3)(a)
    for outputs, expected in [
        ([a], [x]),
        ([a, a], [x, x]),
        ([layers.Reshape((2, 2))(a)], [x.reshape(5, 2, 2)]),
        ([a, layers.Flatten()(layers.Reshape((2, 2))(a))], [x, x]),
    ]:
        model = Model(a, [*outputs, h], dtype="float64", seed=0)
        for y, z in zip(model.predict(x), expected):
            assert np.array_equal(y, z)
        assert_trains(model, x, [np.ones_like(z) for z in expected] + [rows(5, 3)])
    identity = Model(a, a, dtype="float64")
    identity.compile("sgd", "mse")
    assert np.array_equal(identity.predict(x), x) and identity.layers == []
    assert identity.fit(x, x, verbose=0).history["loss"] == [0.0]


def test_outputs_of_single_numbers():
    """Samples and outputs without axes."""
    x = rows(5, 1)[:, 0]
    tensor = Input(())
    model = Model(tensor, layers.Reshape(())(Dense(1)(layers.Reshape((1,))(tensor))), seed=0, dtype="float64")
    model.compile("sgd", "mse")
    y = model.predict(x)
    assert y.shape == (5,)
    np.testing.assert_allclose(y, x * model.get_weights()[0][0, 0], rtol=1e-13)
    assert_step_follows_the_gradient(model, x, rows(5, 1)[:, 0])


def test_inputs_that_nothing_depends_on():
    a, b = Input((4,)), Input((3,))
    model = Model([a, b], Dense(2)(a), seed=0, dtype="float64")
    x = rows(5, 4)
    np.testing.assert_allclose(model.predict([x, rows(5, 3)]), x @ model.get_weights()[0], rtol=1e-13)


def test_losses_of_higher_rank():
    x, y = np.random.default_rng(0).normal(size=(6, 3, 4)), np.random.default_rng(1).integers(0, 5, (6, 3))
    model = fn.Sequential([Input((3, 4)), Dense(5)], seed=0, dtype="float64")
    model.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    z = x @ model.get_weights()[0]
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, y[..., None], -1).mean()
    for labels in (y, y[..., None]):
        loss, accuracy = model.evaluate(x, labels)
        assert loss == pytest.approx(expected, rel=1e-12) and accuracy == np.mean(z.argmax(-1) == y)
    assert_step_follows_the_gradient(model, x, y)


# ---- models as layers, shared weights -----------------------------------------------------------------------


def test_a_model_is_called_on_tensors_like_a_layer():
    x = rows(5, 4)
    inner = network(3, 2, seed=1)
    tensor = Input((4,))
    model = Model(tensor, layers.Add()([inner(tensor), inner(layers.Tanh()(tensor))]), dtype="float64")
    np.testing.assert_allclose(model.predict(x), inner.predict(x) + inner.predict(np.tanh(x)), rtol=1e-12)
    assert model.count_params() == inner.count_params()
    model.compile("sgd", "mse")
    assert_step_follows_the_gradient(model, x, rows(5, 2))
    assert same_weights(inner, model)


def test_a_model_of_several_inputs_is_called_on_a_list():
    inner = two_in_two_out()
    a, b = Input((4,)), Input((3,))
    p, q = inner([a, b])
    outer = Model([a, b], layers.Multiply()([p, Dense(5)(q)]), dtype="float64", seed=4)
    x = [rows(5, 4), rows(5, 3)]
    w, c = outer.get_weights()[-2:]
    p, q = inner.predict(x)
    np.testing.assert_allclose(outer.predict(x), p * (q @ w + c), rtol=1e-12)
    for given, words in [(a, "2 inputs, got 1"), ([b, a], r"shape \(None, 4\), got \(None, 3\)"), ([a, b, a], "got 3")]:
        with pytest.raises(ValueError, match=words):
            inner(given)


def test_two_models_share_layers():
    x, y = rows(20, 4), rows(20, 2)
    tensor = Input((4,))
    h = Dense(3, "tanh", name="body")(tensor)
    first = Model(tensor, Dense(2, name="head")(h), seed=1, dtype="float64")
    features = Model(tensor, h, seed=99, dtype="float64")
    first.compile("adam", "mse")
    before = features.predict(x)
    first.fit(x, y, verbose=0)
    body = first.get_layer("body")
    np.testing.assert_allclose(features.predict(x), np.tanh(x @ body.kernel + body.bias), rtol=1e-12)
    assert not np.array_equal(features.predict(x), before)


def test_models_made_apart_are_joined_by_a_third():
    """Their weights move to common memory: each model still sees, and trains, its own."""
    x = rows(20, 4)
    one, two = network(3, seed=1), network(3, seed=2)
    for model in (one, two):
        model.compile("adam", "mse")
        model.fit(x, rows(20, 3), verbose=0)
    before = one.get_weights() + two.get_weights()
    tensor = Input((4,))
    both = Model(tensor, layers.Concatenate()([one(tensor), two(tensor)]), dtype="float64")
    assert same_weights(before, both)
    np.testing.assert_array_equal(both.predict(x), np.hstack([one.predict(x), two.predict(x)]))
    two.fit(x, rows(20, 3), verbose=0)
    assert same_weights(before[:2], one) and not same_weights(before[2:], two)
    np.testing.assert_array_equal(both.predict(x), np.hstack([one.predict(x), two.predict(x)]))
    both.compile("sgd", "mse")
    both.fit(x, rows(20, 6), verbose=0)
    np.testing.assert_array_equal(both.predict(x), np.hstack([one.predict(x), two.predict(x)]))


def test_a_frozen_part_of_two_models():
    """As in adversarial training: the second model trains through the first without changing it."""
    x = rows(20, 4)
    judge, maker = network(3, 1, seed=1), network(5, 4, seed=2)
    judge.compile("adam", "mse")
    tensor = Input((4,))
    both = Model(tensor, judge(maker(tensor)), dtype="float64")
    judge.trainable = False
    both.compile("adam", "mse")
    before = judge.get_weights(), maker.get_weights()
    both.fit(x, np.ones(20), verbose=0)
    assert same_weights(before[0], judge) and not same_weights(before[1], maker)
    judge.trainable = True
    judge.fit(x, np.ones(20), verbose=0)
    assert not same_weights(before[0], judge)


def test_summary_of_a_graph():
    model, said = two_in_two_out(), []
    model.summary(print_fn=said.append)
    assert [line.split() for line in said[0].splitlines()[1:10] if "--" not in line] == [
        ["Layer", "Type", "Output", "shape", "Parameters", "From"],
        ["a", "Input", "(None,", "4)", "0"],
        ["b", "Input", "(None,", "3)", "0"],
        ["left", "Dense", "(None,", "5)", "25", "a"],
        ["right", "Dense", "(None,", "5)", "20", "b"],
        ["p", "Add", "(None,", "5)", "0", "left,", "right"],
        ["concatenate", "Concatenate", "(None,", "8)", "0", "p,", "b"],
        ["q", "Dense", "(None,", "1)", "9", "concatenate"],
    ]


# ---- what makes no sense ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, error, words", [
    (lambda a, b, h: Model(a, layers.Add()([h, Dense(3)(b)])), ValueError, ["not among the inputs", "(None, 4)"]),
    (lambda a, b, h: Model([a, a], h), ValueError, ["input", "twice"]),
    (lambda a, b, h: Model(h, Dense(2)(h)), ValueError, ["input", "fn.Input"]),
    (lambda a, b, h: Model([], h), TypeError, ["inputs"]),
    (lambda a, b, h: Model(a, []), TypeError, ["outputs"]),
    (lambda a, b, h: Model(a, Dense(3)), TypeError, ["outputs", "Dense"]),
    (lambda a, b, h: Model(np.ones(3), h), TypeError, ["inputs"]),
    (lambda a, b, h: Model([Input((2,), name="z"), Input((2,), name="z"), a], h), ValueError, ["same name", "'z'"]),
    (lambda a, b, h: Model(a, Dense(3, name="one")(Dense(3, name="one")(h))), ValueError, ["two layers", "'one'"]),
    (lambda a, b, h: fn.Sequential([Dense(2)])([a, b]), RuntimeError, ["shape"]),
])  # fmt: skip
def test_graphs_that_make_no_sense(make, error, words):
    a, b = Input((4,)), Input((4,))
    with pytest.raises(error) as caught:
        make(a, b, Dense(3)(a))
    for word in words:
        assert word in str(caught.value), str(caught.value)


# ---- arguments of calls -----------------------------------------------------------------------------------------


class Mixed(layers.Layer):
    """x, scaled, and the sum of it and some others."""

    def call(self, x, others=None, *, scale=1.0, last=None):
        tensors = [self.emit("affine", [x], {"scale": scale, "per_feature": False}), *(others or [])]
        return self.emit("add", [*tensors, *([last] if last is not None else [])])


def mixed_model():
    a, b, c = (Input((3,), name=name) for name in "abc")
    y = Mixed(name="one")(a, [b, c], scale=2.0)
    z = Mixed(name="two")(y, None, scale=0.5, last=b)
    return Model([a, b, c], z, seed=0, dtype="float64")


def test_calls_take_tensors_and_numbers_by_name(tmp_path):
    model = mixed_model()
    x = [rows(5, 3, i) for i in range(3)]
    expected = 0.5 * (2 * x[0] + x[1] + x[2]) + x[1]
    np.testing.assert_allclose(model.predict(x), expected)
    inputs = [Input((3,)) for _ in range(3)]
    np.testing.assert_allclose(Model(inputs, model(inputs), dtype="float64").predict(x), expected)
    model.save(tmp_path / "m")
    loaded = fn.load_model(tmp_path / "m", custom_objects={"Mixed": Mixed})
    np.testing.assert_allclose(loaded.predict(x), expected)
    assert [call.options for call in loaded._graph.calls][0]["scale"] == 2.0
    printed = []
    model.summary(print_fn=printed.append)
    assert "a, b, c" in printed[0] and "one, b" in printed[0]


def test_arguments_that_a_call_does_not_take():
    x = Input((3,))
    for wrong in (lambda: Dense(2, name="d")(x, 3), lambda: Dense(2, name="d")(x, x), lambda: Dense(2, name="d")(x, size=1)):
        with pytest.raises(TypeError, match=r"layer 'd': .*its call takes \(x\)"):
            wrong()
    with pytest.raises(TypeError, match="layer 'a': expected a symbolic tensor, got 3"):
        layers.Add(name="a")([x, x], 3)


# ---- dictionaries -----------------------------------------------------------------------------------


def two_headed():
    a, b = fn.Input((4,), name="first"), fn.Input((3,))
    joined = fn.layers.Concatenate()([a, b])
    outputs = {"z": fn.layers.Dense(2, name="wide")(joined), "c": fn.layers.Dense(1, "sigmoid")(a)}
    return fn.Model({"a": a, "b": b}, outputs, seed=0)


def test_inputs_and_outputs_in_dictionaries(tmp_path):
    """As traced in Keras 3.15: keys are names, whatever the tensors are called; predictions have the keys of the outputs."""
    model = two_headed()
    x, y = {"b": rows(8, 3), "a": rows(8, 4, seed=1)}, {"c": np.ones((8, 1)), "z": rows(8, 2)}
    assert (model.input_names, model.output_names) == (["a", "b"], ["z", "c"])
    assert list(model.input) == ["a", "b"] and list(model.output) == ["z", "c"]
    model.compile("sgd", {"z": "mse", "c": "bce"}, loss_weights={"c": 2.0}, metrics={"z": ["mae"], "c": "accuracy"})
    history = model.fit(x, y, verbose=0, validation_data=(x, y))
    assert {"z_loss", "c_loss", "z_mae", "c_accuracy", "val_c_loss"} < set(history.history)
    assert list(model.evaluate(x, y, return_dict=True)) == ["loss", "z_loss", "c_loss", "c_accuracy", "z_mae"]
    found = model.predict(x)
    listed = fn.Model(model.inputs, model.outputs).predict([x["a"], x["b"]])
    for given in (
        found,
        model.predict(x),
        model(x),
        model.predict_on_batch(x),
        model.forward(x, training=True),
        model(x, training=True),
    ):
        assert list(given) == ["z", "c"]
        for name, expected in zip(given, listed):
            np.testing.assert_allclose(given[name], expected, rtol=1e-6)
    a, b = fn.Input((4,)), fn.Input((3,))
    called = model({"b": b, "a": a})
    assert {name: tensor.shape for name, tensor in called.items()} == {"z": (None, 2), "c": (None, 1)}
    model.save(tmp_path / "m.safetensors")
    for again in (fn.load_model(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(x)["c"], found["c"])
    with pytest.raises(ValueError, match="'d'"):
        model.predict({"a": x["a"], "d": x["b"]})
    with pytest.raises(TypeError, match="keys of a dictionary"):
        fn.Model({1: a}, a)


def test_a_class_may_return_a_dictionary():
    class Heads(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.one, self.two = fn.layers.Dense(1), fn.layers.Dense(2)

        def call(self, inputs):
            return {"one": self.one(inputs["x"]), "two": self.two(inputs["x"])}

    model = Heads()
    model.compile("sgd", {"one": "mse", "two": "mae"})
    x = {"x": rows(6, 4)}
    model.fit(x, {"one": rows(6, 1), "two": rows(6, 2)}, verbose=0)
    assert {name: value.shape for name, value in model.predict(x).items()} == {"one": (6, 1), "two": (6, 2)}
