"""Whole models of normalisations, dropout, recurrent layers and attention as C files, beside the models themselves."""

import numpy as np
import pytest
from exports import COMPILERS, compile_description, compile_model, compile_text, describe_graph
from operation_cases import OpCase
from plans import assert_close

import fastnet as fn
from fastnet.exporting.export import write_model

layers = fn.layers
PREDICTED = {"float32": 1e-5, "float64": 1e-12}
TRAINED = {"float32": 1e-4, "float64": 1e-10}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def tokens(*shape, vocabulary=11, seed=0):
    return np.random.default_rng(seed).integers(0, vocabulary, shape).astype(float)


def ragged(*shape, seed=0):
    """Sequences that end in steps of zeros, one that has none else."""
    x = normal(*shape, seed=seed)
    for row, length in enumerate(np.random.default_rng(1).integers(1, shape[1] + 1, shape[0])):
        x[row, length:] = 0
    x[1] = 0
    return x


def batch_normalization(dtype):
    return fn.Sequential(
        [fn.Input((6,)), layers.Dense(9), layers.BatchNormalization(momentum=0.7), layers.Activation("relu"), layers.Dense(4),
         layers.BatchNormalization(scale=False), layers.Dense(2)], seed=1, dtype=dtype)  # fmt: skip


def frozen_normalization(dtype):
    model = batch_normalization(dtype)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean[...] = normal(layer.moving_mean.size, seed=3)
            layer.moving_variance[...] = 1 + normal(layer.moving_mean.size, seed=4) ** 2
            layer.trainable = False
    return model


def other_normalizations(dtype):
    return fn.Sequential(
        [fn.Input((5, 6)), layers.LayerNormalization(), layers.Dense(8, "tanh"), layers.GroupNormalization(groups=4),
         layers.RMSNormalization(), layers.Flatten(), layers.Dense(2)], seed=1, dtype=dtype)  # fmt: skip


def noises(dtype):
    return fn.Sequential(
        [fn.Input((5, 6)), layers.GaussianNoise(0.3), layers.Dense(8, "relu"), layers.SpatialDropout1D(0.3), layers.Dense(7, "selu"),
         layers.AlphaDropout(0.2), layers.GaussianDropout(0.1), layers.Flatten(), layers.Dropout(0.4, seed=5), layers.Dense(2)],
        seed=1, dtype=dtype)  # fmt: skip


def penalties(dtype):
    return fn.Sequential(
        [fn.Input((6,)), layers.Dense(5, "tanh", activity_regularizer=fn.regularizers.L1L2(1e-2, 1e-2)),
         layers.Dense(4, kernel_regularizer=fn.regularizers.OrthogonalRegularizer(0.1)),
         layers.ActivityRegularization(l2=0.1), layers.Dense(2)], seed=1, dtype=dtype)  # fmt: skip


def masked_lstm(dtype):
    return fn.Sequential(
        [fn.Input((7, 3)), layers.Masking(), layers.LSTM(5, return_sequences=True, recurrent_dropout=0.2),
         layers.LSTM(4, dropout=0.3), layers.Dense(2)], seed=1, dtype=dtype)  # fmt: skip


def bidirectional_gru(dtype):
    return fn.Sequential(
        [fn.Input((7, 3)), layers.Masking(), layers.Bidirectional(layers.GRU(5, return_sequences=True)),
         layers.Bidirectional(layers.GRU(3, reset_after=False, activation="gelu")), layers.Dense(2)], seed=1, dtype=dtype)  # fmt: skip


def encoder_decoder(dtype):
    """States from one layer to the other, one of which nothing uses."""
    x = fn.Input((6, 3))
    y, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    z, last = layers.SimpleRNN(4, return_sequences=True, return_state=True, go_backwards=True)(y, initial_state=h)
    w = layers.LSTM(4)(z, initial_state=[last, c])
    return fn.Model(x, layers.Dense(2)(w), seed=1, dtype=dtype)


def transformer(dtype):
    x = fn.Input((8,))
    y = layers.Embedding(11, 6, mask_zero=True)(x)
    y = layers.Add()([y, layers.PositionEmbedding(8)(y), layers.SinePositionEncoding()(y)])
    y = layers.TransformerBlock(12, 2, dropout=0.1)(y)
    y = layers.GlobalAveragePooling1D()(y)
    return fn.Model(x, layers.Dense(2)(y), seed=1, dtype=dtype)


def small_gpt(dtype):
    x = fn.Input((8,))
    y = layers.TokenAndPositionEmbedding(11, 8, 6)(x)
    for _ in range(2):
        y = layers.TransformerBlock(10, 3, use_causal_mask=True, normalize_first=True)(y)
    y = layers.GroupQueryAttention(2, 4, 2, sliding_window=3)(y, y, use_causal_mask=True)
    y = layers.RotaryEmbedding()(y)
    return fn.Model(x, layers.Dense(11)(layers.LayerNormalization()(y)), seed=1, dtype=dtype)


#: Models, and what makes inputs of so many rows.
MODELS = {
    "batch_normalization": (batch_normalization, lambda n: normal(n, 6)),
    "frozen_normalization": (frozen_normalization, lambda n: normal(n, 6)),
    "other_normalizations": (other_normalizations, lambda n: normal(n, 5, 6)),
    "noises": (noises, lambda n: normal(n, 5, 6)),
    "penalties": (penalties, lambda n: normal(n, 6)),
    "masked_lstm": (masked_lstm, lambda n: ragged(n, 7, 3)),
    "bidirectional_gru": (bidirectional_gru, lambda n: ragged(n, 7, 3)),
    "encoder_decoder": (encoder_decoder, lambda n: normal(n, 6, 3)),
    "transformer": (transformer, lambda n: tokens(n, 8)),
    "gated": (lambda dtype: gated(dtype), lambda n: normal(n, 7, 3)),
    "small_gpt": (small_gpt, lambda n: tokens(n, 8)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_steps_and_predictions_are_those_of_the_model(name, dtype):
    """20 steps, with the numbers that the engine draws; then the model with what it has learnt, exported anew."""
    make, inputs = MODELS[name]
    model, x = make(dtype), inputs(24)
    model.compile(fn.optimizers.SGD(0.05), "mse")
    y = normal(24, *model.outputs[0].sample_shape, seed=2)
    compiled = compile_model(model, training=True, batch_size=4)
    for step in range(20):
        rows = np.arange(4 * step, 4 * step + 4) % len(x)
        expected = model.train_on_batch(x[rows], y[rows])
        found = compiled.train([x[rows]], [y[rows]], learning_rate=0.05)
        assert_close(found, expected, TRAINED[dtype], f"loss of step {step}")
    predicted = model.predict(x[:6])
    for one, tolerance in ((compiled, TRAINED[dtype]), (compile_model(model), PREDICTED[dtype])):
        assert_close(one.predict(x[:6])[0].reshape(predicted.shape), predicted, tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_export_that_was_trained_goes_on_with_the_same_random_numbers(dtype):
    model, x, y = noises(dtype), normal(8, 5, 6), normal(8, 2, seed=2)
    model.compile(fn.optimizers.SGD(0.05), "mse")
    for _ in range(3):
        model.train_on_batch(x, y)
    compiled = compile_model(model, training=True, batch_size=8)
    for _ in range(3):
        expected = model.train_on_batch(x, y)
        assert_close(compiled.train([x], [y], learning_rate=0.05), expected, TRAINED[dtype])


def test_a_rate_that_varies_is_refused_in_training_alone():
    model = fn.Sequential([fn.Input((6,)), layers.Dropout(lambda step: 0.1), layers.Dense(2)], seed=1)
    model.compile(fn.optimizers.SGD(0.05), "mse")
    with pytest.raises(NotImplementedError, match=r"rate of layer 'dropout' varies"):
        compile_model(model, training=True)
    x = normal(2, 6)
    assert_close(compile_model(model).predict(x)[0], model.predict(x), 1e-6)


@pytest.mark.parametrize("op", ["batch_normalization", "dropout", "alpha_dropout", "gaussian_dropout", "gaussian_noise", "lstm"])
def test_derivatives_of_predictions(op):
    """Statistics are constants, nothing is dropped: as finite differences of what it predicts."""
    attributes = {"units": 4, "dropout": 0.5, "recurrent_dropout": 0.5} if op == "lstm" else {}
    graph = OpCase(op, ((3, 5),), attributes).graph()
    graph.outputs = graph.outputs[:1]
    if op == "batch_normalization":
        graph.parameters[-1] = (np.abs(graph.parameters[-1][0]), False)
        graph.parameters[-2] = (graph.parameters[-2][0], False)
    x, dy = normal(1, 3, 5), normal(1, *graph.shapes[graph.outputs[0][0]], seed=1)
    compiled = compile_description(describe_graph(graph), "float64", derivative="inference")
    gradient = compiled.call("derivative", x, dy)[0].reshape(3, 5)
    for place in np.ndindex(3, 5):
        step = np.zeros_like(x)
        step[0][place] = 1e-5
        change = compiled.call("predict", x + step)[0] - compiled.call("predict", x - step)[0]
        assert abs(gradient[place] - change @ dy.ravel() / 2e-5) < 1e-8, (op, place)


def test_multiply_adds_are_those_of_the_shapes():
    x = fn.Input((7, 6))
    y = layers.LSTM(5, return_sequences=True)(x)
    y = layers.MultiHeadAttention(2, 3)(y, y)
    lstm, projections, attention = 7 * (6 + 5) * 20, 7 * (3 * 5 * 6 + 6 * 5), 7 * 7 * 2 * (3 + 3)
    assert write_model(fn.Model(x, y, seed=1), "net").operations == lstm + projections + attention


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [False, True])
def test_the_memory_has_the_size_that_is_said(dtype, training):
    flat = fn.Sequential([fn.Input((6,)), layers.Dropout(0.5)], seed=1, dtype=dtype)  # which needs none, but for the step
    for model in (flat, penalties(dtype), masked_lstm(dtype)):
        model.compile(fn.optimizers.SGD(0.05), "mse")
        written = write_model(model, "net", training=training)
        compiled = compile_text(
            f"{written.source}\nint size(void);\nint size(void)\n{{\n    return (int)sizeof(net_memory);\n}}\n"
        )
        assert compiled.size() == written.memory


def gated(dtype):
    """Activations with attributes of their own, and derivatives of the input."""
    elu, leaky = (fn.activations.ActivationFunction(name, alpha) for name, alpha in (("elu", 0.3), ("leaky_relu", 0.2)))
    x = fn.Input((7, 3))
    y = layers.LSTM(5, return_sequences=True, activation=elu, recurrent_activation="silu")(x)
    y = layers.GRU(4, return_sequences=True, activation=leaky, dropout=0.1)(y)
    y = layers.MultiHeadAttention(2, 3, dropout=0.2)(y, y)
    return fn.Model(x, layers.Dense(2)(layers.SimpleRNN(3, activation="squareplus")(y)), seed=1, dtype=dtype)


@pytest.mark.parametrize(
    ("compiler", "suffix"), [*((name, ".c") for name in COMPILERS), *((name, ".cpp") for name in COMPILERS if name != "tcc")]
)
def test_every_compiler_takes_a_whole_file(compiler, suffix):
    model = gated("float32")
    model.compile(fn.optimizers.SGD(0.05), "mse")
    written = write_model(model, "net", training=True, batch_size=2)
    compile_text(written.source, compiler, suffix=suffix)


def streaming(dtype, steps, rows=1, seed=1):
    return fn.Sequential(
        [fn.Input((steps, 3), batch_size=rows), layers.LSTM(5, stateful=True, return_sequences=True),
         layers.GRU(4, stateful=True, return_sequences=True), layers.SimpleRNN(4, stateful=True, return_sequences=True),
         layers.Dense(2)], seed=seed, dtype=dtype)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stateful_layers_stream(dtype):
    """Two halves, one after the other, are the whole; after a reset they are so again."""
    whole, half = streaming(dtype, 8), streaming(dtype, 4)
    x = normal(1, 8, 3)
    expected = whole.predict(x).ravel()
    half.predict(x[:, 4:])  # an export begins anew, whatever states the model has
    compiled = compile_model(half)
    for _ in range(2):
        found = np.concatenate([compiled.call("predict", part)[0] for part in (x[:, :4], x[:, 4:])])
        assert_close(found, expected, PREDICTED[dtype])
        compiled.library.net_reset(compiled.memory.ctypes)


def test_stateful_layers_train():
    """Three rows whose states go from batch to batch."""
    model = streaming("float64", 4, rows=3)
    model.compile(fn.optimizers.SGD(0.05), "mse")
    compiled = compile_model(model, training=True, batch_size=3)
    for step in range(5):
        x, y = normal(3, 4, 3, seed=step), normal(3, 4, 2, seed=100 + step)
        expected = model.train_on_batch(x, y)
        assert_close(compiled.train([x], [y], learning_rate=0.05), expected, TRAINED["float64"])


def test_more_rows_than_there_are_states_of_are_refused():
    model = streaming("float64", 4, rows=2)
    model.compile(fn.optimizers.SGD(0.05), "mse")
    with pytest.raises(NotImplementedError, match=r"lstm.*states of 2 rows, not of a batch of 5"):
        compile_model(model, training=True, batch_size=5)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_self_test_of_a_stateful_model_leaves_its_states_alone(tmp_path, rows):
    model = streaming("float32", 4, rows)
    x = normal(rows, 4, 3)
    model.predict(x)
    states = [weight.array.copy() for weight in model.weights]
    exported = model.export(tmp_path / "net.c")
    for weight, before in zip(model.weights, states):
        np.testing.assert_array_equal(weight.array, before)
    library = compile_text(exported.paths[0].read_text(), flags=["-DNET_SELFTEST"])
    assert library.net_selftest(bytes(exported.memory)) == 0
