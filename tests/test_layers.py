"""Layers: what they compute, their shapes and defaults, and what they say about arguments that make no sense."""

import numpy as np
import pytest
import reference
from networks import network, rows, same_weights

import fastnet as fn
from fastnet import layers

ELEMENTWISE = [name for name in fn.activations.ACTIVATIONS if "softmax" not in name]

#: Layer and the function it computes. The defaults are Keras's.
ACTIVATION_LAYERS = {
    "ELU": ("elu", 1.0),
    "Exponential": ("exponential", 0),
    "GELU": ("gelu", 0),
    "HardSigmoid": ("hard_sigmoid", 0),
    "HardSiLU": ("hard_silu", 0),
    "LeakyReLU": ("leaky_relu", 0.3),
    "LogSoftmax": ("log_softmax", None),
    "Mish": ("mish", 0),
    "ReLU": ("relu", 0),
    "ReLU6": ("relu6", 0),
    "SELU": ("selu", 0),
    "Sigmoid": ("sigmoid", 0),
    "SiLU": ("silu", 0),
    "Softmax": ("softmax", None),
    "Softplus": ("softplus", 0),
    "Softsign": ("softsign", 0),
    "Squareplus": ("squareplus", 4.0),
    "Tanh": ("tanh", 0),
}


def apply(layer, *arrays, dtype="float64", seed=0):
    """(model, its output) of one layer on inputs."""
    inputs = [fn.Input(array.shape[1:]) for array in arrays]
    model = fn.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]), seed=seed, dtype=dtype)
    return model, model.predict(list(arrays) if len(arrays) > 1 else arrays[0])


def expected(name, x, alpha=None):
    """An activation by a name of Keras, with Keras's default of its parameter."""
    name = {"swish": "silu", "hard_swish": "hard_silu"}.get(name, name)
    if name in ("softmax", "log_softmax"):
        return reference.OPS[name].forward([x], [])
    if alpha is None:
        alpha = {"leaky_relu": 0.2, "elu": 1.0, "squareplus": 4.0}.get(name, 0)
    return reference.ACTIVATIONS[name].forward(x, alpha)


def assert_shape(layer, *shapes):
    """The layer gives the shape on symbolic tensors that it gives on data."""
    *given, result = shapes
    inputs = [fn.Input(shape) for shape in given]
    tensor = layer(inputs if len(inputs) > 1 else inputs[0])
    assert tensor.shape == (None, *result)
    assert fn.Model(inputs, tensor).predict([np.zeros((2, *shape)) for shape in given]).shape == (2, *result)


# ---- Dense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [None, *fn.activations.ACTIVATIONS])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(activation, use_bias):
    x = rows(9, 5)
    layer = layers.Dense(4, activation, use_bias, bias_initializer="random_normal")
    model, y = apply(layer, x)
    kernel, *bias = model.get_weights()
    assert kernel.shape == (5, 4) and [b.shape for b in bias] == [(4,)] * use_bias
    z = x @ kernel + (bias[0] if use_bias else 0)
    np.testing.assert_allclose(y, expected(activation or "linear", z), rtol=1e-11, atol=1e-14)


def test_dense_works_on_the_last_axis():
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    model, y = apply(layers.Dense(6, "tanh"), x)
    kernel, bias = model.get_weights()
    assert y.shape == (3, 2, 4, 6)
    np.testing.assert_allclose(y, np.tanh(x @ kernel + bias), rtol=1e-13, atol=1e-15)


def test_the_defaults_of_dense_are_those_of_keras():
    layer = layers.Dense(300)
    model, _ = apply(layer, np.ones((1, 200)))
    kernel, bias = model.get_weights()
    limit = np.sqrt(6 / 500)
    assert np.abs(kernel).max() <= limit and kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert not bias.any()
    assert layer.kernel_initializer == fn.initializers.GlorotUniform()
    assert layer.bias_initializer == fn.initializers.Zeros()
    assert layer.activation == fn.activations.get("linear") and layer.use_bias and layer.trainable


def test_kernel_and_bias_are_views():
    model = network(3, features=2)
    (layer,) = model.layers
    layer.kernel[...] = 0
    layer.bias[...] = [1, 2, 3]
    assert np.array_equal(model.predict(np.ones((1, 2))), [[1, 2, 3]])
    model.set_weights([np.ones((2, 3)), np.zeros(3)])
    assert np.array_equal(layer.kernel, np.ones((2, 3))) and not layer.bias.any()
    assert layers.Dense(3, use_bias=False).bias is None


@pytest.mark.parametrize("initializer", ["ones", fn.initializers.Constant(0.5), fn.initializers.HeNormal(seed=3),
                                         {"class_name": "Orthogonal", "config": {"gain": 2.0}}])  # fmt: skip
def test_initializers_reach_the_weights(initializer):
    layer = layers.Dense(6, kernel_initializer=initializer, bias_initializer=fn.initializers.Constant(3))
    apply(layer, np.ones((1, 4)))
    assert np.array_equal(layer.bias, np.full(6, 3.0))
    if initializer == "ones":
        assert np.array_equal(layer.kernel, np.ones((4, 6)))
    elif isinstance(initializer, dict):
        np.testing.assert_allclose(layer.kernel @ layer.kernel.T, 4 * np.eye(4), atol=1e-12)
    else:
        assert np.array_equal(layer.kernel, initializer((4, 6), np.float64, rng=np.random.default_rng()))


# ---- initial weights ---------------------------------------------------------------------------------------


def test_the_seed_decides_the_initial_weights():
    a, b, other = network(5, 3, seed=1), network(5, 3, seed=1), network(5, 3, seed=2)
    assert same_weights(a, b)
    assert not np.array_equal(a.get_weights()[0], other.get_weights()[0])


def test_each_weight_has_its_own_numbers():
    model = network(4, 4, 4, seed=0)
    kernels = [weight for weight in model.get_weights() if weight.ndim == 2]
    assert len({kernel.tobytes() for kernel in kernels}) == 3


def test_both_precisions_begin_with_the_same_numbers():
    single, double = network(5, 3, dtype="float32"), network(5, 3, dtype="float64")
    for a, b in zip(single.get_weights(), double.get_weights()):
        assert a.dtype == np.float32 and b.dtype == np.float64
        assert np.array_equal(a, b.astype(np.float32))


# ---- activations -----------------------------------------------------------------------------------------------


def test_every_activation_layer_has_a_reference():
    assert set(layers.activations.__all__) == set(ACTIVATION_LAYERS)


@pytest.mark.parametrize("name", ACTIVATION_LAYERS)
def test_activation_layers(name):
    x = 4 * np.random.default_rng(1).normal(size=(7, 2, 5))
    function, alpha = ACTIVATION_LAYERS[name]
    _, y = apply(getattr(layers, name)(), x)
    np.testing.assert_allclose(y, expected(function, x, alpha), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", fn.activations.ACTIVATIONS)
def test_activation_by_name(name):
    x = 4 * rows(7, 5)
    _, y = apply(layers.Activation(name), x)
    np.testing.assert_allclose(y, expected(name, x), rtol=1e-11, atol=1e-14)


def test_activations_with_a_parameter():
    x = rows(7, 5)
    for layer, result in [
        (layers.LeakyReLU(0.05), np.where(x > 0, x, 0.05 * x)),
        (layers.LeakyReLU(negative_slope=0), np.maximum(x, 0)),
        (layers.ELU(0.3), np.where(x > 0, x, 0.3 * np.expm1(x))),
        (layers.Activation(layers.LeakyReLU(0.01)), np.where(x > 0, x, 0.01 * x)),
        (layers.Activation(fn.activations.ActivationFunction("elu", 2.0)), np.where(x > 0, x, 2 * np.expm1(x))),
        (layers.Squareplus(0.5), (x + np.sqrt(x**2 + 0.5)) / 2),
        (layers.GELU(approximate=True), reference.ACTIVATIONS["gelu_tanh"].forward(x, 0)),
    ]:
        np.testing.assert_allclose(apply(layer, x)[1], result, rtol=1e-11, atol=1e-14)


def test_dense_takes_an_activation_layer():
    x = rows(7, 5)
    model, y = apply(layers.Dense(3, layers.LeakyReLU(0.05)), x)
    z = x @ model.get_weights()[0]
    np.testing.assert_allclose(y, np.where(z > 0, z, 0.05 * z), rtol=1e-11)


def test_activations_by_name_ignore_case_and_underscores():
    assert fn.activations.get("LeakyReLU") == fn.activations.get("leaky_relu")
    assert fn.activations.get(None) == fn.activations.get("linear")
    assert fn.activations.get("swish") == fn.activations.get("silu")


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_dense_with_an_activation_learns_like_a_layer_after_it(name):
    """One fused operation, or two."""
    x, y = rows(10, 4), rows(10, 3)
    fused = fn.Sequential([fn.Input((4,)), layers.Dense(3, name)], seed=0, dtype="float64")
    apart = fn.Sequential([fn.Input((4,)), layers.Dense(3), layers.Activation(name)], seed=0, dtype="float64")
    for model in (fused, apart):
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=3, verbose=0)
    for a, b in zip(fused.get_weights(), apart.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


# ---- shapes and merges -----------------------------------------------------------------------------------------


def test_flatten_and_reshape():
    x = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    for layer, shape in [
        (layers.Flatten(), (12,)),
        (layers.Reshape((4, 3)), (4, 3)),
        (layers.Reshape((-1,)), (12,)),
        (layers.Reshape((2, -1, 3)), (2, 2, 3)),
        (layers.Reshape([12, 1]), (12, 1)),
    ]:
        assert np.array_equal(apply(layer, x)[1], x.reshape(2, *shape))
        assert_shape(layer, (3, 4), shape)
    assert_shape(layers.Flatten(), (5,), (5,))
    assert_shape(layers.Flatten(), (), (1,))
    assert_shape(layers.Reshape(()), (1,), ())


def test_gradients_pass_through_reshapes():
    x, y = np.random.default_rng(0).normal(size=(8, 2, 3)), rows(8, 1)
    shaped = fn.Sequential(
        [fn.Input((2, 3)), layers.Flatten(), layers.Dense(4, "tanh"), layers.Reshape((2, 2)), layers.Flatten(), layers.Dense(1)],
        seed=0,
        dtype="float64",
    )
    plain = network(4, 1, features=6, seed=0)
    for model, data in ((shaped, x), (plain, x.reshape(8, 6))):
        model.compile("adam", "mse")
        model.fit(data, y, epochs=3, verbose=0)
    assert same_weights(shaped, plain)


@pytest.mark.parametrize("n_inputs", [2, 3])
@pytest.mark.parametrize("name, function", [
    ("Add", sum), ("Multiply", lambda xs: np.prod(xs, axis=0)), ("Average", lambda xs: np.mean(xs, axis=0)),
    ("Maximum", lambda xs: np.max(xs, axis=0)), ("Minimum", lambda xs: np.min(xs, axis=0)),
    ("Subtract", lambda xs: xs[0] - xs[1]),
])  # fmt: skip
def test_merges(name, function, n_inputs):
    arrays = [np.random.default_rng(i).normal(size=(3, 4, 2)) for i in range(n_inputs)]
    if name == "Subtract" and n_inputs != 2:
        with pytest.raises(ValueError, match="Subtract.*got 3 inputs, expected 2"):
            apply(layers.Subtract(), *arrays)
        return
    layer = getattr(layers, name)()
    np.testing.assert_allclose(apply(layer, *arrays)[1], function(arrays), rtol=1e-14)


@pytest.mark.parametrize("axis", [-1, -2, -3, 1, 2, 3])
def test_concatenate_counts_axes_with_the_batch(axis):
    a, b, c = (np.random.default_rng(i).normal(size=(2, 3, 4, 5)) for i in range(3))
    assert np.array_equal(apply(layers.Concatenate(axis), a, b, c)[1], np.concatenate([a, b, c], axis))


def test_concatenate_joins_different_sizes():
    a, b = np.ones((2, 3, 4)), np.zeros((2, 3, 1))
    assert np.array_equal(apply(layers.Concatenate(), a, b)[1], np.concatenate([a, b], -1))
    assert_shape(layers.Concatenate(axis=1), (3, 4), (2, 4), (5, 4))


# ---- names ---------------------------------------------------------------------------------------------------


def test_names_are_given_by_class_and_numbered():
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3), layers.ReLU(), layers.Dense(3, name="dense_1"),
                           layers.Dense(2), layers.LeakyReLU(), layers.HardSiLU()])  # fmt: skip
    assert [layer.name for layer in model.layers] == ["dense", "re_lu", "dense_1", "dense_2", "leaky_re_lu",
                                                      "hard_si_lu"]  # fmt: skip
    assert model.get_layer("dense_2") is model.layers[3]
    assert [weight.path for weight in model.weights[:3]] == ["dense/kernel", "dense/bias", "dense_1/kernel"]


def test_weights_of_a_layer():
    model = network(3, 2)
    layer = model.layers[0]
    layer.set_weights([np.ones((4, 3)), np.zeros(3)])
    assert [weight.tolist() for weight in layer.get_weights()] == [np.ones((4, 3)).tolist(), [0, 0, 0]]
    assert layer.count_params() == 15 and layers.Flatten().count_params() == 0
    assert [weight.name for weight in layer.weights] == ["kernel", "bias"]
    layer.get_weights()[0][...] = 5
    assert layer.kernel.max() == 1


# ---- what makes no sense -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, error, words", [
    (lambda: layers.Dense(-1), ValueError, ["Dense", "units", "-1"]),
    (lambda: layers.Dense(0), ValueError, ["Dense", "units", "positive"]),
    (lambda: layers.Dense(2.5), TypeError, ["units", "2.5"]),
    (lambda: layers.Dense("8"), TypeError, ["units", "'8'"]),
    (lambda: layers.Dense(None, name="last"), TypeError, ["last", "units"]),
    (lambda: layers.Dense(3, "rleu"), ValueError, ["activation", "rleu", "'relu'"]),
    (lambda: layers.Dense(3, 5), TypeError, ["activation", "5"]),
    (lambda: layers.Dense(3, kernel_initializer="glorot_unform"), ValueError, ["initializer", "'glorot_uniform'"]),
    (lambda: layers.Dense(3, bias_initializer=0), TypeError, ["initializer"]),
    (lambda: layers.Dense(3, name=7), TypeError, ["name", "7"]),
    (lambda: layers.Dense(3, frobnicate=1), TypeError, ["frobnicate"]),
    (lambda: layers.Activation("tnah"), ValueError, ["'tanh'"]),
    (lambda: layers.LeakyReLU("x"), TypeError, ["leaky_relu", "'x'"]),
    (lambda: layers.ELU(np.nan), ValueError, ["elu", "nan"]),
    (lambda: fn.activations.ActivationFunction("relu", 0.1), ValueError, ["relu", "no parameter"]),
    (lambda: layers.Reshape(5), TypeError, ["target_shape"]),
    (lambda: layers.Reshape((2.5,)), TypeError, ["target_shape"]),
    (lambda: layers.Concatenate(axis=0), ValueError, ["axis 0", "batch"]),
    (lambda: layers.Concatenate(axis="last"), TypeError, ["axis"]),
    (lambda: fn.Input(4), TypeError, ["Input", "(4,)"]),
    (lambda: fn.Input((0,)), ValueError, ["Input", "positive", "0"]),
    (lambda: fn.Input((3, -1)), ValueError, ["Input", "-1"]),
    (lambda: fn.Input("ab"), TypeError, ["Input"]),
    (lambda: fn.Input(None), TypeError, ["Input", "None"]),
])  # fmt: skip
def test_bad_arguments(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize("make, words", [
    (lambda a, b: layers.Dense(3, name="top")(fn.Input(())), ["top"]),
    (lambda a, b: layers.Reshape((5,), name="shaper")(a), ["shaper", "(4,)", "(5,)"]),
    (lambda a, b: layers.Reshape((-1, -1))(a), ["cannot reshape"]),
    (lambda a, b: layers.Reshape((-1, 3))(a), ["cannot reshape"]),
    (lambda a, b: layers.Reshape((0, 4))(a), ["cannot reshape"]),
    (lambda a, b: layers.Reshape((1,) * 7)(a), ["at most 6 axes"]),
    (lambda a, b: layers.Add(name="sum")([a, b]), ["sum", "(4,)", "(2, 3)"]),
    (lambda a, b: layers.Add()(a), ["Add", "at least 2"]),
    (lambda a, b: layers.Concatenate()([a]), ["Concatenate", "at least 2"]),
    (lambda a, b: layers.Concatenate()([a, b]), ["Concatenate", "(4,)", "(2, 3)"]),
    (lambda a, b: layers.Concatenate(axis=3)([b, b]), ["Concatenate", "axis"]),
    (lambda a, b: layers.Concatenate(axis=-3)([b, b]), ["Concatenate", "axis"]),
    (lambda a, b: layers.Dense(2**62)(a), ["Dense"]),
])  # fmt: skip
def test_inputs_that_do_not_fit(make, words):
    with pytest.raises(ValueError) as caught:
        make(fn.Input((4,)), fn.Input((2, 3)))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_layer_is_called_on_tensors_or_arrays():
    for given in ([], [fn.Input((4,)), 3], None, "x", [None]):
        with pytest.raises(TypeError, match="layer 'Dense' must be called on the result of fn.Input"):
            layers.Dense(3)(given)


def test_a_layer_keeps_to_the_inputs_of_its_first_call():
    layer = layers.Dense(3, name="shared")
    layer(fn.Input((4,)))
    with pytest.raises(ValueError, match=r"'shared': kernel has shape \(4, 3\) from an earlier call"):
        layer(fn.Input((5,)))
    layer(fn.Input((2, 4)))


def test_an_initializer_that_does_not_fit_names_the_weight():
    with pytest.raises(ValueError, match="dense/bias.*Orthogonal"):
        fn.Sequential([fn.Input((4,)), layers.Dense(3, bias_initializer="orthogonal")])


def test_weights_have_no_values_before_there_is_a_model():
    layer = layers.Dense(3)
    layer(fn.Input((4,)))
    with pytest.raises(RuntimeError, match="make a model"):
        layer.get_weights()
