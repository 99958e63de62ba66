"""Trainings with derivatives of the network in the loss, and with a layer of one's own, follow PyTorch's: tools/dump_derivative_traces.py."""

import pathlib

import numpy as np

import fastnet as fn

TRACE = pathlib.Path(__file__).parent / "traces" / "derivatives_pytorch.npz"
L = fn.layers


def trace(name):
    with np.load(TRACE) as file:
        return {key.partition("/")[2]: file[key] for key in file.files if key.startswith(name)}


def network(units, activations, weights):
    layers = [L.Dense(n, activation) for n, activation in zip(units[1:], activations)]
    made = fn.Sequential([fn.Input((units[0],)), *layers], seed=0, dtype="float64")
    made.set_weights([weights[f"first_{i}"] for i in range(len(made.weights))])
    return made


def follow(model, net, inputs, targets, expected):
    """Full batches: the losses of all steps, and the weights at the end."""
    n = len(inputs[0])
    history = model.fit(inputs, targets, batch_size=n, epochs=len(expected["losses"]), shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected["losses"], rtol=1e-9)
    for i, weight in enumerate(net.get_weights()):
        np.testing.assert_allclose(weight, expected[f"last_{i}"], rtol=1e-7, atol=1e-9)


def test_heat_equation():
    """First and second derivatives of the network in the loss: 50 steps."""
    expected = trace("heat")
    net = network([2, 12, 10, 1], ["tanh", "gelu", None], expected)
    t, x, edge = fn.Input((1,)), fn.Input((1,)), fn.Input((2,))
    u = net(L.Concatenate()([t, x]))
    u_t, u_x = fn.gradients(u, [t, x])
    model = fn.Model([t, x, edge], [u_t - 0.1 * fn.gradients(u_x, x), net(edge)], seed=0, dtype="float64")
    model.compile(fn.optimizers.pytorch.Adam(5e-3), ["mse", "mse"], loss_weights=[1, 10])
    inputs = [expected[name] for name in ("t", "x", "edge")]
    follow(model, net, inputs, [np.zeros((40, 1)), expected["target"]], expected)


def test_critic_with_gradient_penalty():
    """The norm of the derivative of the critic in its loss: 20 steps."""
    expected = trace("critic")
    net = network([3, 16, 8, 1], ["leaky_relu", "tanh", None], expected)
    real, fake, between = (fn.Input((3,)) for _ in range(3))
    length = fn.ops.norm(fn.gradients(net(between), between), axis=1, keepdims=True)
    model = fn.Model([real, fake, between], [net(real), net(fake), length], seed=0, dtype="float64")
    score = lambda sign, y: fn.ops.mean(sign * y)
    model.compile(fn.optimizers.pytorch.Adam(5e-3, betas=(0.0, 0.9)), [score, score, "mse"], loss_weights=[1, 1, 10])
    inputs, ones = [expected[name] for name in ("real", "fake", "between")], np.ones((24, 1))
    follow(model, net, inputs, [-ones, ones, ones], expected)


class Attention(L.Layer):
    """Causal attention of one head, and what it is given added to it."""

    def call(self, x):
        steps, size = x.shape[1:]
        q, k, v = (x @ self.add_weight(shape=(size, size), name=name) for name in ("query", "key", "value"))
        scores = q @ fn.ops.transpose(k, (0, 2, 1)) / size**0.5
        scores = fn.ops.where(np.tril(np.ones((steps, steps))), scores, -1e9)
        return fn.ops.softmax(scores, axis=-1) @ v + x


def test_attention_of_ones_own():
    """20 steps of a network with a layer whose weights and mathematics are the user's."""
    expected = trace("attention")
    net = fn.Sequential([fn.Input((5, 3)), L.Dense(8, "tanh"), Attention(), L.Dense(2)], seed=0, dtype="float64")
    net.compile(fn.optimizers.pytorch.Adam(5e-3), "mse")
    for i, weight in enumerate(net.trainable_weights):
        weight.assign(expected[f"first_{i}"])
    history = net.fit(expected["x"], expected["target"], batch_size=12, epochs=20, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected["losses"], rtol=1e-9)
    for i, weight in enumerate(net.trainable_weights):
        np.testing.assert_allclose(weight.array, expected[f"last_{i}"], rtol=1e-7, atol=1e-9)
