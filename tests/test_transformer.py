"""Transformers: blocks against their equations, vectors of positions, a whole small GPT."""

import numpy as np
import pytest
import reference
from networks import same_weights

import fastnet as fn
from fastnet import layers

RANDOM = np.random.default_rng(0)


def sequences(n=3, steps=6, channels=8):
    return RANDOM.normal(size=(n, steps, channels))


def randomized(model):
    """The model with weights that no initializer gives."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape) / 2)
    return model


def normed(x, gamma, beta):
    return reference.OPS["layer_normalization"].forward([x], [gamma, beta], epsilon=1e-5)


def attention(x, weights, heads, causal):
    q, k, v = (np.einsum("btc,chd->bthd", x, weights[i]) + weights[i + 1] for i in (0, 2, 4))
    flat = [a.reshape(*a.shape[:2], -1) for a in (q, k, v)]
    y = reference.OPS["attention"].forward(flat, [], heads=heads, causal=causal)
    return np.einsum("bthd,hdc->btc", y.reshape(q.shape), weights[6]) + weights[7]


def feedforward(x, weights):
    return reference.ACTIVATIONS["gelu"].forward(x @ weights[0] + weights[1], 0) @ weights[2] + weights[3]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_block_is_what_its_equations_say(first, causal, isa):
    inputs = fn.Input((6, 8))
    block = layers.TransformerBlock(12, 2, normalize_first=first, use_causal_mask=causal)
    model = randomized(fn.Model(inputs, block(inputs), seed=0, dtype="float64"))
    w, x = model.get_weights(), sequences()
    assert [weight.path for weight in block.weights][:3] == [
        "transformer_block/attention_norm/gamma", "transformer_block/attention_norm/beta",
        "transformer_block/attention/query/kernel"]  # fmt: skip
    if first:
        x1 = x + attention(normed(x, *w[:2]), w[2:10], 2, causal)
        expected = x1 + feedforward(normed(x1, *w[10:12]), w[12:])
    else:
        x1 = normed(x + attention(x, w[2:10], 2, causal), *w[:2])
        expected = normed(x1 + feedforward(x1, w[12:]), *w[10:12])
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-10, atol=1e-10)


def test_no_position_sees_those_after_it():
    inputs = fn.Input((6, 8))
    x = inputs
    for _ in range(2):
        x = layers.TransformerBlock(12, 4, use_causal_mask=True)(x)
    model = randomized(fn.Model(inputs, x, seed=0))
    one = sequences()
    other = one.copy()
    other[:, 4:] += 1
    assert np.array_equal(model.predict(one)[:, :4], model.predict(other)[:, :4])
    assert not np.allclose(model.predict(one)[:, 4:], model.predict(other)[:, 4:])


def test_padding_is_not_seen(tmp_path):
    inputs, mask = fn.Input((6, 8)), fn.Input((6,))
    block = layers.TransformerBlock(12, 2)
    model = randomized(fn.Model([inputs, mask], block(inputs, padding_mask=mask), seed=0))
    seen = np.ones((3, 6))
    seen[1, 4:] = 0
    one = sequences()
    other = one.copy()
    other[1, 4:] += 1
    assert np.array_equal(model.predict([one, seen])[:, :4], model.predict([other, seen])[:, :4])
    model.save(tmp_path / "m")
    assert np.array_equal(fn.load_model(tmp_path / "m").predict([one, seen]), model.predict([one, seen]))


@pytest.mark.parametrize("first", [False, True])
def test_masks_of_embeddings_are_obeyed_and_passed_on(first, tmp_path):
    """As a padding mask that is given; the loss leaves out the padding."""
    x = np.random.default_rng(3).integers(1, 5, (3, 6))
    x[1, 4:] = 0
    models = []
    for masked in (True, False):
        tokens, given = fn.Input((6,)), fn.Input((6,))
        y = layers.TokenAndPositionEmbedding(5, 6, 8, mask_zero=masked)(tokens)
        y = layers.TransformerBlock(12, 2, normalize_first=first)(y, **({} if masked else {"padding_mask": given}))
        models.append(randomized(fn.Model(tokens if masked else [tokens, given], layers.Dense(1)(y), seed=0)))
    assert models[0].outputs[0].mask is not None
    expected = models[1].predict([x, x > 0])
    np.testing.assert_allclose(models[0].predict(x), expected, rtol=1e-5, atol=1e-6)
    models[0].save(tmp_path / "m")
    assert np.array_equal(fn.load_model(tmp_path / "m").predict(x), models[0].predict(x))
    models[0].compile("sgd", "mse")
    loss = models[0].evaluate(x, np.zeros((3, 6, 1)), verbose=0)
    np.testing.assert_allclose(loss, (expected[x > 0] ** 2).mean(), rtol=1e-5)


def gpt(dropout=0.0, blocks=2, **options):
    x = inputs = fn.Input((6,))
    x = layers.TokenAndPositionEmbedding(5, 6, 8)(x)
    for _ in range(blocks):
        x = layers.TransformerBlock(16, 2, dropout=dropout, use_causal_mask=True)(x)
    return fn.Model(inputs, layers.Dense(5)(layers.LayerNormalization()(x)), seed=0, **options)


def compiled(model, n_threads=None):
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(0.01), loss, n_threads=n_threads)
    return model


def tokens(n):
    """Each is the sum of the two before it, modulo 5."""
    x = np.random.default_rng(2).integers(0, 5, (n, 7))
    for t in range(2, 7):
        x[:, t] = (x[:, t - 1] + x[:, t - 2]) % 5
    return x[:, :-1], x[:, 1:]


def test_a_small_gpt_learns():
    x, y = tokens(400)
    model = compiled(gpt())
    # A rate that stays as high has epochs in which the loss rises for a while: when is a matter of the last bits.
    model.optimizer.learning_rate = fn.schedules.CosineDecay(0.01, 60 * 13)
    losses = model.fit(x, y, batch_size=32, epochs=60, verbose=0).history["loss"]
    assert losses[0] > 1.3 and losses[-1] < 0.4  # the first of the six predictions is a guess: log(5) / 6 = 0.27
    guessed = model.predict(x).argmax(axis=-1)
    assert np.mean(guessed[:, 1:] == y[:, 1:]) > 0.95


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_bits_for_any_number_of_threads(dropout):
    x, y = tokens(50)
    models = [compiled(gpt(dropout), n) for n in (1, 2, 3)]
    for model in models:
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert same_weights(models[0], models[1]) and same_weights(models[0], models[2])


def test_saved_and_trained_on(tmp_path):
    x, y = tokens(40)
    model = compiled(gpt(0.1))
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m")
    loaded = fn.load_model(tmp_path / "m")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert [type(layer).__name__ for layer in loaded.layers][:2] == ["TokenAndPositionEmbedding", "TransformerBlock"]
    printed = []
    loaded.summary(print_fn=printed.append)
    assert "transformer_block_1" in printed[0]


def test_a_frozen_block_stays_what_it_is():
    model = gpt(0.1)
    block = model.layers[1]
    block.trainable = False
    before, others = block.get_weights(), model.layers[2].get_weights()
    x, y = tokens(40)
    compiled(model).fit(x, y, epochs=1, verbose=0)
    assert all(map(np.array_equal, before, block.get_weights()))
    assert not any(map(np.array_equal, others, model.layers[2].get_weights()))


def test_a_block_used_twice_has_its_weights_once():
    inputs = fn.Input((6, 8))
    block = layers.TransformerBlock(12, 2, dropout=0.2)
    model = fn.Model(inputs, block(block(inputs)), seed=0)
    assert model.count_params() == block.count_params() == 16 + 4 * 72 + 16 + 108 + 104
    model.compile("sgd", "mse")
    x = sequences()
    assert np.isfinite(model.fit(x, x, epochs=2, verbose=0).history["loss"]).all()


def test_the_workload_of_the_benchmark():
    """Its plain equations give the loss that is trained with; the order of the weights is that of the model."""
    from fastnet._bench.gpt import GptWorkload
    from fastnet._bench.gpt_peers import PEERS

    workload = GptWorkload("small", 5, 6, 8, 2, 2, batch=4, learning_rate=1e-12, rows=8)
    peer = PEERS["fastnet"](workload, 1)
    peer.reset()
    weights = workload.weights()
    assert [weight.shape for weight in weights] == [weight.shape for weight in peer.weights()]
    assert sum(weight.size for weight in weights) == workload.n_parameters == peer.model.count_params()
    assert peer.train(1, shuffle=False) == pytest.approx(workload.loss_of(weights), rel=1e-4)


# ---- positions ------------------------------------------------------------------------------------------------


def applied(layer, x, **options):
    inputs = fn.Input(x.shape[1:])
    model = fn.Model(inputs, layer(inputs, **options), seed=0, dtype="float64")
    return model, model.predict(x)


def test_token_and_position_embedding_is_a_sum():
    x = RANDOM.integers(0, 5, (3, 4))
    model, y = applied(layers.TokenAndPositionEmbedding(5, 6, 8), x)
    table, positions = model.get_weights()
    assert [weight.path for weight in model.weights] == [
        "token_and_position_embedding/token_embedding/embeddings",
        "token_and_position_embedding/position_embedding/position_embeddings"]  # fmt: skip
    np.testing.assert_allclose(y, table[x] + positions[:4])


def test_position_embedding():
    x = sequences(steps=4)
    model, y = applied(layers.PositionEmbedding(6), x)
    assert np.array_equal(y, np.broadcast_to(model.get_weights()[0][:4], x.shape))


def test_sine_position_encoding():
    y = applied(layers.SinePositionEncoding(100.0), np.zeros((1, 50, 7)), start_index=1000)[1][0]
    for channel in range(7):
        angle = np.arange(1000, 1050) * 100 ** (-(channel // 2 * 2) / 7)
        np.testing.assert_allclose(y[:, channel], (np.cos if channel % 2 else np.sin)(angle), rtol=0, atol=1e-12)


def test_rotary_embedding_makes_products_depend_on_distances():
    x = np.broadcast_to(RANDOM.normal(size=(1, 1, 2, 6)), (1, 40, 2, 6))
    other = np.broadcast_to(RANDOM.normal(size=(1, 1, 2, 6)), (1, 40, 2, 6))
    layer = layers.RotaryEmbedding(scaling_factor=0.7)
    q, k = (applied(layer, array)[1][0] for array in (x, other))
    products = np.einsum("ihc,jhc->hij", q, k)
    for distance in (-7, 0, 12):
        diagonal = np.diagonal(products, distance, axis1=1, axis2=2)
        np.testing.assert_allclose(diagonal, diagonal[:, :1] * np.ones(diagonal.shape[1]), rtol=0, atol=1e-12)
    shifted = applied(layer, x, start_index=3)[1][0]
    np.testing.assert_allclose(shifted[:-3], q[3:], rtol=0, atol=1e-12)
    flat = applied(layers.RotaryEmbedding(), x[:, :, 0])[1]
    np.testing.assert_allclose(flat[0, 1, 0], x[0, 0, 0, 0] * np.cos(1) - x[0, 0, 0, 3] * np.sin(1))


# ---- what does not fit ----------------------------------------------------------------------------------------


def test_bad_arguments():
    x, flat = fn.Input((6, 8)), fn.Input((8,))
    with pytest.raises(ValueError, match="layer 'b': 3 heads do not divide 8 channels"):
        layers.TransformerBlock(12, 3, name="b")(x)
    with pytest.raises(ValueError, match=r"layer 'b': expected an input of shape \(batch, steps, channels\), got \(None, 8\)"):
        layers.TransformerBlock(12, 2, name="b")(flat)
    with pytest.raises(ValueError, match="TransformerBlock: intermediate_dim must be a positive integer"):
        layers.TransformerBlock(0, 2)
    with pytest.raises(ValueError, match="TransformerBlock: dropout must be at least 0 and below 1"):
        layers.TransformerBlock(12, 2, dropout=-0.1)
    with pytest.raises(ValueError, match="layer 'p': there are vectors for 5 positions, the input has 6"):
        layers.PositionEmbedding(5, name="p")(x)
    with pytest.raises(ValueError, match=r"layer 'p': expected an input of shape \(steps, channels\), got \(8,\)"):
        layers.PositionEmbedding(5, name="p")(flat)
    with pytest.raises(ValueError, match="max_wavelength must be positive, got 0"):
        layers.SinePositionEncoding(0)
    with pytest.raises(TypeError, match="scaling_factor must be a number, got 'x'"):
        layers.RotaryEmbedding(scaling_factor="x")
    with pytest.raises(ValueError, match="layer 'r': .*channels an even number"):
        layers.RotaryEmbedding(name="r")(fn.Input((6, 7)))
    with pytest.raises(ValueError, match="layer 'r': expected steps on axis 1 and channels on the last one"):
        layers.RotaryEmbedding(sequence_axis=2, name="r")(x)
    with pytest.raises(ValueError, match="layer 'r': start must be a whole number from 0 to 4503599627370496, got -1"):
        layers.RotaryEmbedding(name="r")(x, start_index=-1)
    with pytest.raises(TypeError, match="layer 'r': start_index must be an integer, got 'x'"):
        layers.RotaryEmbedding(name="r")(x, start_index="x")


@pytest.mark.parametrize(("op", "attributes", "shape", "message"), [
    ("position_embedding", {"length": 2.5}, (2, 3), "length must be a whole number from 0 to 1073741824, got 2.5"),
    ("position_embedding", {"max_wavelength": -1}, (2, 3), "max_wavelength must be a positive number, got -1"),
    ("rotary_embedding", {"scaling_factor": 0}, (2, 4), "scaling_factor must be a positive number, got 0"),
    ("rotary_embedding", {"size": 4}, (2, 6), r"got \(2, 6\) with heads of 4"),
    ("rotary_embedding", {}, (4,), r"expected an input of shape \(steps, ..., channels\)"),
])  # fmt: skip
def test_what_the_operations_refuse(op, attributes, shape, message):
    with pytest.raises(ValueError, match=f"layer 'a': .*{message}"):
        fn._core.infer(op, "a", [shape], attributes)
