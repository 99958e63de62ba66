"""Recurrent layers: Keras's traces, states, dropout, wrappers, saving."""

import json
from pathlib import Path

import numpy as np
import pytest
from networks import rejects, same_weights

import fastnet as fn
from fastnet import layers

TRACES = np.load(Path(__file__).parent / "traces" / "recurrent_keras.npz")
FACTS = json.loads(str(TRACES["facts"]))
KINDS = [layers.SimpleRNN, layers.GRU, layers.LSTM]


def make(class_name, arguments):
    arguments = {name: make(*value) if name == "layer" else value for name, value in arguments.items()}
    return getattr(layers, class_name)(**arguments)


def describe(number):
    (name, arguments), *more = FACTS["cases"][number]["layers"]
    return f"{number} {name} {len(more)}"


@pytest.mark.parametrize("number", range(len(FACTS["cases"])), ids=describe)
def test_outputs_and_gradients_are_those_of_keras(number, isa, dtype):
    case = FACTS["cases"][number]
    inputs = tensor = fn.Input(case["shape"][1:])
    for class_name, arguments in case["layers"]:
        tensor = make(class_name, arguments)(tensor)
    model = fn.Model(inputs, tensor, dtype=dtype)
    weights = model.trainable_weights
    model.set_weights([TRACES[f"{number}/w/{i}"] for i in range(len(weights))])
    count = len(model.outputs)
    y = model.forward(TRACES[f"{number}/x"], training=True)
    dy = [TRACES[f"{number}/dy/{i}"] for i in range(count)]
    dx = model.backward(dy if count > 1 else dy[0])
    for i, found in enumerate(y if count > 1 else [y]):
        np.testing.assert_allclose(found, TRACES[f"{number}/y/{i}"], rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(dx, TRACES[f"{number}/dx"], rtol=1e-4, atol=1e-5)
    for i, gradient in enumerate(model.gradients):
        np.testing.assert_allclose(gradient, TRACES[f"{number}/dw/{i}"], rtol=1e-4, atol=1e-5)
    predicted = model.predict(TRACES[f"{number}/x"])
    for found, other in zip(predicted if count > 1 else [predicted], y if count > 1 else [y]):
        np.testing.assert_allclose(found, other, rtol=1e-6, atol=1e-7)


def test_weights_begin_as_those_of_keras():
    layer = layers.LSTM(3)
    model = fn.Sequential([fn.Input((2, 4)), layer], seed=0, dtype="float64")
    kernel, recurrent, bias = model.get_weights()
    assert kernel.shape == (4, 12) and np.abs(kernel).max() <= np.sqrt(6 / 16)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(3), atol=1e-12)
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6
    plain = fn.Sequential([fn.Input((2, 4)), layers.LSTM(3, unit_forget_bias=False, bias_initializer="ones")], seed=0)
    assert plain.get_weights()[2].tolist() == [1] * 12
    assert [w.path for w in model.weights] == ["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"]
    assert fn.Sequential([fn.Input((2, 4)), layers.GRU(3)]).get_weights()[2].shape == (2, 9)


def sequences(n=40, steps=7, features=3, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, steps, features))
    return x, np.tanh(x.sum(axis=(1, 2)))[:, np.newaxis]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_any_number_of_threads(kind, dtype):
    x, y = sequences(37)
    results = []
    for n_threads in (1, 2, 3):
        stack = [
            layers.Bidirectional(kind(9, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)),
            kind(5),
            layers.Dense(1),
        ]
        model = fn.Sequential([fn.Input((7, 3)), *stack], seed=0, dtype=dtype)
        model.compile("adam", "mse", n_threads=n_threads)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        results.append(model.get_weights())
    assert same_weights(results[0], results[1]) and same_weights(results[0], results[2])


#: Units whose recurrent kernel is so large that a batch of two rows is divided by units rather than by rows.
LARGE = {layers.SimpleRNN: 256, layers.GRU: 160, layers.LSTM: 128}
OPTIONS = [
    {},
    {"return_sequences": True, "dropout": 0.2, "recurrent_dropout": 0.3, "go_backwards": True},
    {"activation": "silu", "recurrent_activation": "silu", "use_bias": False, "return_state": True},
    {"return_sequences": True, "masked": True, "zeroed": True},
    {"recurrent_dropout": 0.3, "masked": True, "begun": True, "return_state": True},
]


def count_stages(model, layer, what):
    return sum(stage["label"].endswith(what) for stage in model._latest_plan().stages() if stage["layer"] == layer.name)


def passes(kind, options, rows, given, n_threads, dtype):
    """Outputs, gradients and predictions, and the stages of a pass back and of a prediction. The gradient of outputs is 0 after the
    first two rows, and only those are returned."""
    options = dict(options)
    masked, zeroed, begun = (options.pop(name, False) for name in ("masked", "zeroed", "begun"))
    if kind is layers.SimpleRNN:
        options.pop("recurrent_activation", None)
    units = LARGE[kind]
    inputs = [fn.Input((5, 3))] + [fn.Input((units,)) for _ in range((2 if kind is layers.LSTM else 1) * begun)]
    x = layers.Masking()(inputs[0]) if masked else inputs[0]
    layer = kind(units, **options)
    layer._zero_output_for_mask = zeroed  # as in a Bidirectional
    model = fn.Model(inputs, layer(x, initial_state=inputs[1:] or None), seed=3, dtype=dtype)
    model.compile("sgd", "mse", n_threads=n_threads)
    batch = [array[:rows] for array in given[: len(inputs)]]
    y = listed(model.forward(batch, training=True))
    dy = [np.cos(np.arange(one.size)).reshape(one.shape) for one in y]
    for one in dy:
        one[2:] = 0
    dx = listed(model.backward(dy if len(dy) > 1 else dy[0]))
    back = count_stages(model, layer, "backward")
    found = [*(one[:2].copy() for one in [*y, *dx]), *(one.copy() for one in model.gradients)]
    predicted = listed(model.predict_on_batch(batch))
    return [*found, *(one[:2] for one in predicted)], (back, count_stages(model, layer, "forward"))


def listed(arrays):
    return arrays if isinstance(arrays, list) else [arrays]


@pytest.mark.parametrize("number", range(len(OPTIONS)))
@pytest.mark.parametrize("kind", KINDS)
def test_division_by_units_gives_the_bits_of_that_by_rows(kind, number, isa, dtype):
    random = np.random.default_rng(number)
    given = [random.normal(size=shape) for shape in [(40, 5, 3), *[(40, LARGE[kind])] * 2]]
    given[0][:, 2] = given[0][0] = 0  # masked: a step in all rows, and all of a row
    by_rows, stages = passes(kind, OPTIONS[number], 40, given, 1, dtype)
    assert stages == (1, 1)
    for n_threads in (1, 2, 3):
        found, stages = passes(kind, OPTIONS[number], 2, given, n_threads, dtype)
        assert stages == (2, 3)
        assert same_weights(found, by_rows)


def test_a_gru_that_resets_before_the_product_is_divided_by_rows():
    random = np.random.default_rng(0)
    _, stages = passes(layers.GRU, {"reset_after": False}, 2, [random.normal(size=(2, 5, 3))], 2, "float32")
    assert stages == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_learns(kind):
    x, y = sequences(200)
    model = fn.Sequential([fn.Input((7, 3)), kind(16), layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.Adam(0.01), "mse")
    history = model.fit(x, y, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.1 * history[0]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_of_training_alone_and_alike_in_all_steps(kind):
    """The factors of x are read off a layer that adds x up; the expectation of the output is that without dropout."""
    inputs = fn.Input((4, 50))
    model = fn.Model(
        inputs,
        layers.SimpleRNN(
            50, "linear", kernel_initializer="identity", recurrent_initializer="zeros", dropout=0.3, return_sequences=True
        )(inputs),
        seed=0,
    )
    ones = np.ones((6, 4, 50))
    y = model.forward(ones, training=True)
    assert np.isin(np.round(y, 5), np.round(np.float32([0, 1 / 0.7]), 5)).all()
    assert (y == y[:, :1]).all() and (y[0] != y[1]).any() and abs((y == 0).mean() - 0.3) < 0.1
    assert (model.predict(ones) == 1).all()
    model = fn.Model(inputs, kind(8, recurrent_dropout=0.5)(inputs), seed=0)
    plain = fn.Model(inputs, kind(8)(inputs), seed=0)
    plain.set_weights(model.get_weights())
    assert np.array_equal(model.predict(ones), plain.predict(ones))
    assert (model.forward(ones, training=True) != plain.predict(ones)).any()


def stateful(kind, units=5, batch_size=4, **options):
    model = fn.Sequential(
        [fn.Input((3, 2), batch_size=batch_size), kind(units, stateful=True, **options), layers.Dense(1)], seed=0, dtype="float64"
    )
    model.compile(fn.optimizers.SGD(0.0), "mse")
    return model


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stateful_layer_goes_on_where_the_last_batch_ended(kind, large):
    """Three pieces of four sequences one after another are the whole sequences."""
    x, _ = sequences(4, 9, 2)
    pieces = np.concatenate(np.split(x, 3, axis=1))  # batches of four rows
    inputs = fn.Input((9, 2))
    units = LARGE[kind] if large else 5
    whole = fn.Model(inputs, layers.Dense(1)(kind(units)(inputs)), dtype="float64")
    model = stateful(kind, units)
    weights = model.trainable_weights
    for weight, own in zip(whole.weights, weights):
        weight.assign(own.value)
    expected = whole.predict(x)
    np.testing.assert_allclose(model.predict(pieces)[8:], expected, rtol=1e-12)
    model.layers[0].reset_states()
    assert not model.layers[0].weights[-1].value.any()
    for i in range(3):
        last = model.predict(pieces[4 * i : 4 * i + 4])
    np.testing.assert_allclose(last, expected, rtol=1e-12)
    model.layers[0].reset_states()
    model.fit(pieces, np.zeros((12, 1)), shuffle=False, verbose=0)  # the learning rate is 0
    states = [weight.value.copy() for weight in model.layers[0].non_trainable_weights]
    model.layers[0].reset_states()
    model.predict(pieces)
    for weight, kept in zip(model.layers[0].non_trainable_weights, states):
        np.testing.assert_allclose(weight.value, kept, rtol=1e-12)


def test_stateful_models_check_their_batches():
    model = stateful(layers.LSTM)
    x, y = np.zeros((8, 3, 2)), np.zeros((8, 1))
    with rejects(model, ValueError, "batch_size", "4"):
        model.fit(x, y, batch_size=8, verbose=0)
    with rejects(model, ValueError, "batch_size", "4"):
        model.train_on_batch(x, y)
    with rejects(model, ValueError, "batch_size", "4"):
        model.predict(x, batch_size=3)
    with pytest.raises(ValueError, match="batch_size="):
        layers.GRU(3, stateful=True)(fn.Input((3, 2)))
    with pytest.raises(ValueError, match="not stateful"):
        layers.GRU(3).reset_states()
    with pytest.raises(ValueError, match="shape"):
        model.layers[0].reset_states([np.zeros((4, 5)), np.zeros((3, 5))])


def test_states_are_saved_and_resumed(tmp_path):
    model = stateful(layers.LSTM)
    x, _ = sequences(4, 6, 2)
    model.predict(x[:, :3])
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(again.predict(x[:, 3:]), model.predict(x[:, 3:]))
    assert again.inputs[0].batch_size == 4


def test_a_loss_that_is_not_finite_moves_no_state():
    model = stateful(layers.GRU)
    x, y = sequences(4, 3, 2)
    model.train_on_batch(x, y)
    before = model.get_weights()
    with pytest.raises(FloatingPointError):
        model.train_on_batch(x, y * np.inf, check_finite=False)
    assert same_weights(before, model.get_weights())


def test_encoder_and_decoder(tmp_path):
    """States as outputs, and as what another layer begins with; saved and called once more."""
    source, target = fn.Input((4, 3)), fn.Input((5, 2))
    _, h, c = layers.LSTM(6, return_state=True, name="encoder")(source)
    decoded = layers.LSTM(6, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    model = fn.Model([source, target], layers.Dense(2)(decoded), seed=0, dtype="float64")
    random = np.random.default_rng(0)
    x = [random.normal(size=(8, 4, 3)), random.normal(size=(8, 5, 2))]
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(x, np.zeros((8, 5, 2)), epochs=2, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(again.predict(x), model.predict(x))
    repeated = fn.Model([source, target], model([source, target]), dtype="float64")
    assert np.array_equal(repeated.predict(x), model.predict(x))


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional_is_saved_with_both_halves(mode, tmp_path):
    inputs = fn.Input((4, 3))
    model = fn.Model(inputs, layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode=mode)(inputs), seed=0)
    assert [weight.path.split("/")[1] for weight in model.weights] == ["layer"] * 3 + ["backward"] * 3
    x = np.random.default_rng(0).normal(size=(6, 4, 3))
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    for a, b in zip(model.predict(x), again.predict(x)):
        assert np.array_equal(a, b)
    model.trainable = False
    assert not model.trainable_weights


def test_bad_arguments():
    for make_it, error, words in [
        (lambda: layers.LSTM(0), ValueError, "units"),
        (lambda: layers.LSTM(2.5), TypeError, "units"),
        (lambda: layers.GRU(3, activation="softmax"), ValueError, "element by element"),
        (lambda: layers.GRU(3, dropout=1.0), ValueError, "dropout"),
        (lambda: layers.SimpleRNN(3, recurrent_dropout=-0.1), ValueError, "recurrent_dropout"),
        (lambda: layers.LSTM(3, seed=-1), ValueError, "seed"),
        (lambda: layers.LSTM(3, name="mine")(fn.Input((4,))), ValueError, "'mine'.*(steps, features)"),
        (lambda: layers.LSTM(3)(fn.Input((4, 2)), initial_state=[fn.Input((3,))]), ValueError, "2 tensors"),
        (lambda: layers.GRU(3)(fn.Input((4, 2)), initial_state=fn.Input((2,))), ValueError, "initial state"),
        (lambda: layers.LSTM(3, recurrent_regularizer="orthogonal_regularizer")(fn.Input((4, 2))), ValueError, "orthogonal"),
        (lambda: layers.Bidirectional(layers.Dense(3)), TypeError, "recurrent layer"),
        (lambda: layers.Bidirectional(layers.LSTM(3), "max"), ValueError, "merge_mode"),
        (lambda: layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3)), ValueError, "go_backwards"),
    ]:
        with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
            make_it()


def test_frozen():
    x, y = sequences()
    model = fn.Sequential([fn.Input((7, 3)), layers.GRU(4), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    assert same_weights(before[:3], after[:3]) and not np.array_equal(before[3], after[3])


def test_a_mask_counts_with_an_initial_state():
    """One step counts, tanh(1 + 0.5). Keras 3.15 goes on through the masked ones, to 0.61616."""
    x, state = fn.Input((3, 1)), fn.Input((1,))
    layer = layers.SimpleRNN(1, kernel_initializer="ones", recurrent_initializer="ones")
    model = fn.Model([x, state], layer(layers.Masking()(x), initial_state=[state]))
    found = model.predict([[[[1.0], [0.0], [0.0]]], [[0.5]]])
    np.testing.assert_allclose(found, [[np.tanh(1.5)]], rtol=1e-6)


@pytest.mark.parametrize("op", ["simple_rnn", "lstm", "gru"])
def test_kernels_too_large_for_any_machine_are_refused(op):
    with pytest.raises(ValueError, match="layer 'r': kernels for 67108864 features and 65536 units are too large"):
        fn._core.infer(op, "r", [(4, 2**26)], {"units": 2**16})
