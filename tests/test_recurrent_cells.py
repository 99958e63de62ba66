"""RNN and its cells: those of one's own compute what the kernels of the recurrent layers compute."""

import numpy as np
import pytest

import fastnet as fn

layers, ops = fn.layers, fn.ops
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5, 3))
X[::2, 3:] = 0  # masked


class Own(layers.Layer):
    """SimpleRNNCell, with layers inside."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.inner, self.outer = layers.Dense(units, use_bias=False), layers.Dense(units)

    def get_config(self):
        return {"units": self.units, "name": self.name, "trainable": self.trainable}

    def call(self, x, states):
        y = ops.tanh(self.inner(x) + self.outer(states[0]))
        return y, [y]


class OwnWeights(Own):
    """The same, with weights of its own, of which the state is no list."""

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), name="recurrent_kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def __init__(self, units, **kwargs):
        layers.Layer.__init__(self, **kwargs)
        self.units = self.state_size = units

    def call(self, x, states):
        y = ops.tanh(x @ self.kernel + states[0] @ self.recurrent_kernel + self.bias)
        return y, y


def run(make, masked):
    """Predictions, and weights after some steps of training."""
    x, state = fn.Input((5, 3)), fn.Input((4,))
    given = layers.Masking()(x) if masked else x
    outputs = make(given, state)
    model = fn.Model([x, state], outputs, seed=0, dtype="float64")
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.weights])
    start = random.normal(size=(6, 4))
    found = model.predict([X, start])
    model.compile("sgd", "mse" if not isinstance(outputs, list) else ["mse"] * len(outputs))
    y = [np.ones_like(one) for one in (found if isinstance(found, list) else [found])]
    for _ in range(2):
        model.train_on_batch([X, start], y if isinstance(found, list) else y[0])
    return found if isinstance(found, list) else [found], model.get_weights()


@pytest.mark.parametrize("cell", [Own, OwnWeights, lambda units: layers.SimpleRNNCell(units)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"return_state": True, "go_backwards": True}])
def test_cells_compute_what_layers_do(cell, masked, options):
    results = [
        run(lambda x, state, layer=layer: layer(x, initial_state=[state]), masked)
        for layer in (layers.RNN(cell(4), **options), layers.SimpleRNN(4, **options))
    ]
    (found, weights), (expected, expected_weights) = results
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    for one, other in zip(weights, expected_weights):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_states_begin_with_zeros():
    for options in ({}, {"return_sequences": True}):
        model = fn.Sequential([fn.Input((5, 3)), layers.RNN(Own(4), **options)], seed=0, dtype="float64")
        weights = RANDOM.normal(size=(3, 4)), RANDOM.normal(size=(4, 4)), RANDOM.normal(size=4)
        model.set_weights(weights)
        h, found = np.zeros((6, 4)), []
        for t in range(5):
            h = np.tanh(X[:, t] @ weights[0] + h @ weights[1] + weights[2])
            found.append(h)
        np.testing.assert_allclose(model.predict(X), np.stack(found, axis=1) if options else h, rtol=1e-12)


@pytest.mark.parametrize("cells", [[Own, Own], [layers.SimpleRNNCell, Own], [Own, layers.SimpleRNNCell]])
@pytest.mark.parametrize("masked", [False, True])
def test_cells_upon_cells(cells, masked):
    """Are layers upon layers, the first of which returns sequences; of one's own, or the package's."""
    options = {"return_sequences": True, "go_backwards": not masked}

    def stacked(x, state):
        return layers.RNN([cell(4) for cell in cells], **options)(x, initial_state=[[state], [2 * state]])

    def apart(x, state):
        lower = layers.SimpleRNN(4, **options)(x, initial_state=[state])
        return layers.SimpleRNN(4, return_sequences=True)(lower, initial_state=[2 * state])

    (found, _), (expected, _) = run(stacked, masked), run(apart, masked)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12, atol=1e-14)


def test_outputs_of_masked_steps():
    for cell in (Own(4), layers.SimpleRNNCell(4)):
        layer = layers.RNN(cell, return_sequences=True, zero_output_for_mask=True)
        found, _ = run(lambda x, state, layer=layer: layer(x, initial_state=[state]), True)
        assert (found[0][::2, 3:] == 0).all() and (found[0][1::2] != 0).all()


def test_a_cell_is_a_layer():
    x, h, c = fn.Input((3,)), fn.Input((4,)), fn.Input((4,))
    output, states = layers.LSTMCell(4)(x, [h, c])
    model = fn.Model([x, h, c], [output, *states], seed=0)
    y, new_h, new_c = model.predict([X[:, 0], np.zeros((6, 4)), np.ones((6, 4))])
    np.testing.assert_array_equal(y, new_h)
    assert new_c.shape == (6, 4) and not np.array_equal(new_c, new_h)


def test_models_with_cells_of_ones_own_are_loaded_with_their_class(tmp_path):
    model = fn.Sequential([fn.Input((5, 3)), layers.RNN([Own(4), layers.GRUCell(2)])], seed=0)
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors", custom_objects={"Own": Own})
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert [weight.path for weight in model.weights][:2] == ["rnn/cell/cells_0/inner/kernel", "rnn/cell/cells_0/outer/kernel"]


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: layers.RNN(layers.Dense(3)), TypeError, "a cell must be a layer with a state_size"),
    (lambda: layers.RNN(layers.LSTMCell(3), stateful=True), ValueError, "stateful must be False"),
    (lambda: layers.StackedRNNCells([]), TypeError, "cells must be a list of cells"),
    (lambda: layers.RNN(layers.LSTMCell(3))(fn.Input((3,))), ValueError, "expected sequences"),
    (lambda: layers.RNN(layers.LSTMCell(3))(fn.Input((4, 3)), initial_state=[fn.Input((3,))]), ValueError, "must be 2 tensors, got 1"),
    (lambda: layers.LSTMCell(3)(fn.Input((4, 3)), [fn.Input((3,))] * 2), ValueError, "expected one step"),
    (lambda: layers.ConvLSTM2D(3, 2)(fn.Input((4, 4, 3))), ValueError, "time, height, width"),
    (lambda: layers.ConvLSTM1D(3, 2, stateful=True), ValueError, "stateful must be False"),
    (lambda: layers.Conv3D(3, 5)(fn.Input((4, 6, 6, 2))), ValueError, "do not fit"),
    (lambda: layers.Conv3D(4, 2, groups=3)(fn.Input((4, 6, 6, 3))), ValueError, "3 groups"),
    (lambda: layers.EinsumDense("ab,bc", 3), ValueError, "equation must be as"),
    (lambda: layers.EinsumDense("abc,cd->abd", (None, None))(fn.Input((3, 4))), ValueError, "the size of 'd'"),
    (lambda: layers.Dot(0)([fn.Input((3,)), fn.Input((3,))]), ValueError, "axes 0"),
    (lambda: layers.Dot(1)([fn.Input((3,)), fn.Input((4,))]), ValueError, "sizes 3 and 4"),
    (lambda: layers.PReLU(shared_axes=3)(fn.Input((3,))), ValueError, "shared_axes"),
    (lambda: layers.Dense(3, activation=layers.ReLU(max_value=2.0)), ValueError, "no activation for another layer"),
    (lambda: layers.ReLU(-1.0), ValueError, "max_value"),
    (lambda: layers.Cropping3D(2)(fn.Input((4, 4, 4, 1))), ValueError, "leaves nothing"),
    (lambda: layers.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), ValueError, "only one of"),
])  # fmt: skip
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
