"""Embedding: tokens are checked, gradients are those of the rows used, training is that of a dense layer on one-hot rows."""

import numpy as np
import pytest
from networks import rejects

import fastnet as fn
from fastnet import layers


def tagger(vocabulary=7, *, dtype="float64", optimizer="adam", n_threads=None, **options):
    model = fn.Sequential(
        [fn.Input((5,)), layers.Embedding(vocabulary, 4, name="words", **options), layers.Dense(3)], seed=0, dtype=dtype
    )
    model.compile(optimizer, fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
    return model


def sentences(n=40, vocabulary=7, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, vocabulary, (n, 5)), random.integers(0, 3, (n, 5))


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int32", "int64", "int16"])
def test_tokens_of_any_dtype(kind, dtype):
    x, _ = sentences()
    model = tagger(dtype=dtype)
    table = model.layers[0].embeddings
    embedded = fn.Model(model.inputs, model.layers[0](model.inputs[0]), dtype=dtype).predict(x.astype(kind))
    assert np.array_equal(embedded, table[x])


@pytest.mark.parametrize("bad", [7, -1, 0.5, 1e9, 2**40])
def test_a_bad_token_changes_nothing(bad):
    x, y = sentences()
    wrong = x.astype(np.float64)
    wrong[13, 2] = bad
    model = tagger()
    model.predict(x[:3])  # such a call may be made ready for the next one
    for call in (
        lambda: model.fit(wrong, y, verbose=0),
        lambda: model.evaluate(wrong, y),
        lambda: model.predict(wrong),
        lambda: model.train_on_batch(wrong, y),
        lambda: model.forward(wrong, training=True),
        lambda: model.fit(x, y, validation_data=(wrong, y), verbose=0),
    ):
        with rejects(model, ValueError, "layer 'words'", "row 13", f"{bad:g}", "from 0 to 6"):
            call()
    with pytest.raises(ValueError):
        model.predict(np.where(wrong == bad, np.nan, wrong))


def test_the_smallest_vocabulary_that_reads_an_input_counts():
    x = fn.Input((3,))
    model = fn.Model(x, [layers.Embedding(9, 2)(x), layers.Embedding(4, 2, name="few")(layers.Reshape((3, 1))(x))])
    model.predict([[0, 1, 3]])
    with pytest.raises(ValueError, match="layer 'few'.* 4 in row 0"):
        model.predict([[0, 1, 4]])


def test_tokens_may_be_computed():
    x = fn.Input((3,))
    layer = layers.Embedding(4, 2)
    model = fn.Model(x, layer(layers.Lambda(lambda x: 2 * x + 1)(x)), seed=0)
    model.compile("sgd", "mse")
    model.fit([[0, 1, 0]], np.ones((1, 3, 2)), verbose=0)
    found = model.predict([[0, 1, 5]])[0]
    np.testing.assert_array_equal(found[:2], layer.embeddings[[1, 3]])
    assert np.isnan(found[2]).all()
    with pytest.raises(ValueError, match="input_dim"):
        layers.Embedding(2**24 + 1, 2)(fn.Input((3,)))


def test_mixup_is_refused():
    x, y = sentences()
    model = fn.Sequential([fn.Input((5,)), layers.Embedding(7, 4, name="words"), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="mixup.*'words'"):
        model.fit(x, y[..., None] * 1.0, mixup=0.2, verbose=0)


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        fn.optimizers.SGD(0.1, momentum=0.9),
        fn.optimizers.Adam(global_clipnorm=0.1),
        fn.optimizers.Lamb(),
        fn.optimizers.AdamW(gradient_accumulation_steps=2),
        fn.optimizers.pytorch.Adam(weight_decay=0.1),
    ],
    ids=lambda o: o if isinstance(o, str) else type(o).__name__,
)
def test_trained_like_a_dense_layer_on_one_hot_rows(optimizer, isa):
    """Over many steps in one call, whose batches use different rows; also where the update writes to the gradients."""
    x, y = sentences(200, 31)
    x = np.sort(x, axis=0)  # the rows of one batch are not those of the next
    options = {"embeddings_regularizer": "l2"} if optimizer == "adam" else {}
    config = None if isinstance(optimizer, str) else optimizer.get_config()
    models = []
    for one_hot in (False, True):
        chosen = optimizer if config is None else type(optimizer).from_config(config)
        model = tagger(31, optimizer=chosen, **options)
        if one_hot:
            table = model.layers[0].embeddings.copy()
            stack = [
                fn.Input((5, 31)),
                layers.Dense(4, use_bias=False, kernel_regularizer=options.get("embeddings_regularizer")),
                layers.Dense(3),
            ]
            weights = [table, *model.get_weights()[1:]]
            model = fn.Sequential(stack, seed=0, dtype="float64")
            model.set_weights(weights)
            chosen = optimizer if config is None else type(optimizer).from_config(config)
            model.compile(chosen, fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(np.eye(31)[x] if one_hot else x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        models.append(model)
    for ours, theirs in zip(models[0].get_weights(), models[1].get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_gradient_is_zero_in_rows_that_are_not_used():
    x, y = sentences(64, 31)
    x = np.sort(x, axis=0)
    model = tagger(31)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    gradient = model.layers[0].weights[0].gradient
    used = np.isin(np.arange(31), x[-8:])
    assert gradient[used].any(axis=1).all() and not gradient[~used].any()


def test_the_same_bits_for_any_number_of_threads(dtype):
    x, y = sentences(100, 300)
    results = []
    for n_threads in (1, 2, 3):
        model = tagger(300, dtype=dtype, n_threads=n_threads)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        results.append([weight.tobytes() for weight in model.get_weights()])
    assert results[0] == results[1] == results[2]


def test_a_table_that_is_used_twice():
    """As one table on inputs side by side."""
    x, y = sentences(40)
    a, b = fn.Input((5,)), fn.Input((5,))
    table = layers.Embedding(7, 4)
    head = layers.Dense(3)
    joined = head(layers.Concatenate(axis=1)([table(a), table(b)]))
    twice = fn.Model([a, b], joined, seed=0, dtype="float64")
    wide = fn.Input((10,))
    once = fn.Sequential([wide, layers.Embedding(7, 4), layers.Dense(3)], seed=0, dtype="float64")
    once.set_weights(twice.get_weights())
    for model, data in ((twice, [x, x[::-1]]), (once, np.hstack([x, x[::-1]]))):
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(data, np.hstack([y, y]), batch_size=8, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(once.get_weights(), twice.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_frozen_and_saved(tmp_path):
    x, y = sentences()
    model = tagger()
    model.layers[0].trainable = False
    before = model.layers[0].embeddings.copy()
    model.fit(x, y, epochs=2, verbose=0)
    assert np.array_equal(before, model.layers[0].embeddings)
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="layer 'words'"):
        again.predict(x + 7)


def test_tokens_are_checked_on_every_way_of_predicting():
    """Also the short ones: a single array, and one like that of the call before."""
    model = fn.Sequential([fn.Input((2,)), layers.Embedding(5, 3)], seed=0)
    good, bad = np.array([[0, 4]]), np.array([[0, 5]])
    for _ in range(3):
        model.predict(good)
        for predict in (model.predict, model.predict_on_batch):
            with pytest.raises(ValueError, match="holds 5 in row 0"):
                predict(bad)
