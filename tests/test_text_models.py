"""Models whose first layers take text or look numbers up: these compute in NumPy before the plan."""

import copy
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

import fastnet as fn

layers = fn.layers
RANDOM = np.random.default_rng(0)
TEXTS = RANDOM.choice(["good film", "a bad film", "so good", "bad bad bad acting", "fine"], 40)
COLORS = RANDOM.choice(["red", "green", "blue", "mauve"], 40)
NUMBERS = RANDOM.integers(0, 9, 40)
Y = RANDOM.normal(size=(40, 1))


@fn.saving.register_keras_serializable("test_text_models")
def lower_texts(texts):
    return np.char.lower(texts)


def text_model(**options):
    vectorize = layers.TextVectorization(output_sequence_length=3, **options)
    vectorize.adapt(TEXTS)
    return fn.Sequential([
        fn.Input((1,), dtype="string"), vectorize, layers.Embedding(12, 4, mask_zero=True), layers.GlobalAveragePooling1D(), layers.Dense(1),
    ], seed=0)  # fmt: skip


def behind(model, features):
    """The part of a model of text behind its first layer, as a model of its own with the same weights, and that of the numbers."""
    rest = fn.Sequential([fn.Input(features.shape[1:]), *map(again, model.layers[1:])], seed=1)
    rest.set_weights(model.get_weights())
    return rest


def again(layer):
    return type(layer).from_config(layer.get_config())


def table_model():
    """Every layer with such work, and one that reads what the engine has computed."""
    color, number = fn.Input((1,), dtype="string", name="color"), fn.Input((1,), name="number")
    parts = [
        layers.StringLookup(vocabulary=["red", "green"], output_mode="one_hot")(color),
        layers.StringLookup(vocabulary=["red", "green"], output_mode="count")(color),
        layers.IntegerLookup(vocabulary=[1, 5, 8], num_oov_indices=2)(number),
        layers.IntegerLookup(vocabulary=[1, 5], output_mode="multi_hot")(number),
        layers.Hashing(4, output_mode="one_hot")(color),
        layers.HashedCrossing(5, output_mode="one_hot")([color, layers.Discretization([2.5, 5.5])(number)]),
        layers.Normalization(mean=4.0, variance=2.0)(number),
    ]
    return fn.Model([color, number], layers.Dense(1)(layers.Concatenate()(parts)), seed=0)


def table_features(color, number):
    color, number = np.asarray(color).reshape(-1, 1), np.asarray(number).reshape(-1, 1)
    ranges = np.digitize(number, [2.5, 5.5])
    return np.concatenate([
        layers.StringLookup(vocabulary=["red", "green"], output_mode="one_hot")(color),
        layers.StringLookup(vocabulary=["red", "green"], output_mode="count")(color),
        layers.IntegerLookup(vocabulary=[1, 5, 8], num_oov_indices=2)(number),
        layers.IntegerLookup(vocabulary=[1, 5], output_mode="multi_hot")(number),
        np.eye(4)[layers.Hashing(4)(color)[:, 0]],
        np.eye(5)[layers.HashedCrossing(5)([color, ranges])[:, 0]],
        (number - 4.0) / np.sqrt(2.0),
    ], axis=1)  # fmt: skip


def test_training_is_that_of_the_model_behind():
    """The same losses and weights as of a model that is given the indices."""
    model = text_model()
    indices = model.layers[0](TEXTS)
    rest = behind(model, indices)
    rest.seed = model.seed
    for one in (model, rest):
        one.compile(fn.optimizers.Adam(0.01), "mse", metrics=["mae"])
    held = TEXTS[:7], Y[:7]
    first = model.fit(TEXTS, Y, batch_size=8, epochs=3, validation_data=held, verbose=0)
    second = rest.fit(indices, Y, batch_size=8, epochs=3, validation_data=(indices[:7], Y[:7]), verbose=0)
    for name in ("loss", "mae", "val_loss"):
        assert first.history[name] == second.history[name]
    assert model.evaluate(TEXTS.tolist(), Y) == rest.evaluate(indices, Y)
    assert model.train_on_batch(TEXTS[:5], Y[:5]) == rest.train_on_batch(indices[:5], Y[:5])
    np.testing.assert_array_equal(model.predict(TEXTS), rest.predict(indices))
    np.testing.assert_array_equal(model(TEXTS), rest.predict(indices))


@pytest.mark.parametrize("given", [
    TEXTS.tolist(), TEXTS[:, None], TEXTS.astype(object), TEXTS.astype("S"), pd.Series(TEXTS), pd.DataFrame({"text": TEXTS})
], ids=["list", "column", "objects", "bytes", "Series", "DataFrame"])  # fmt: skip
def test_kinds_of_data(given):
    model = text_model()
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(given), behind(model, model.layers[0](TEXTS)).predict(model.layers[0](TEXTS)))
    assert model.fit(given, Y, validation_split=0.2, verbose=0).history["loss"]


def test_several_inputs():
    model = table_model()
    features = table_features(COLORS, NUMBERS)
    kernel, bias = model.get_weights()[-2:]
    expected = features @ kernel + bias
    frame = pd.DataFrame({"other": 1, "number": NUMBERS, "color": COLORS})
    for given in ({"color": COLORS, "number": NUMBERS}, [COLORS, NUMBERS[:, None]], frame):
        np.testing.assert_allclose(model.predict(given), expected, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    model.fit({"number": NUMBERS, "color": COLORS.tolist()}, Y, epochs=2, verbose=0)
    np.testing.assert_allclose(
        model.predict([COLORS, NUMBERS]), features @ model.get_weights()[-2] + model.get_weights()[-1], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("make", [text_model, table_model])
def test_files_and_copies(make, tmp_path):
    model = make()
    model.compile("adam", "mse")
    x = TEXTS if make is text_model else {"color": COLORS, "number": NUMBERS}
    model.fit(x, Y, verbose=0)
    model.save(tmp_path / "model.safetensors", include_optimizer=True)
    expected = model.predict(x)
    for one in (fn.load_model(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(one.predict(x), expected)
        one.fit(x, Y, verbose=0)


def test_lengths_that_vary():
    """Without a length, as long as the longest text of a call."""
    vectorize = layers.TextVectorization(vocabulary=["good", "bad", "film"])
    model = fn.Sequential([vectorize, layers.Embedding(5, 4, mask_zero=True), layers.GRU(3), layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(TEXTS, Y, epochs=2, verbose=0)
    assert model.layers[0].output.shape == (None, None)
    for texts in (["good"], ["good film so bad a film", "film"], ["bad bad", "a"]):
        rest = behind(model, vectorize(texts))
        np.testing.assert_allclose(model.predict(texts), rest.predict(vectorize(texts)), rtol=1e-5, atol=1e-6)
    a, b = fn.Input((1,), dtype="string", name="a"), fn.Input((1,), dtype="string", name="b")
    pooled = [layers.GlobalAveragePooling1D()(layers.Embedding(5, 4)(vectorize(one))) for one in (b, a)]
    pair = fn.Model([a, b], layers.Dense(1)(layers.Concatenate()(pooled)), seed=0)
    long, short = ["good film so bad a film", "a"], ["film", "bad"]
    weights = pair.get_weights()
    means = [weights[i][vectorize(texts)].mean(axis=1) for i, texts in ((0, short), (1, long))]
    expected = np.concatenate(means, axis=1) @ weights[2] + weights[3]
    np.testing.assert_allclose(pair.predict([long, short]), expected, rtol=1e-5, atol=1e-6)


def test_batches_of_text():
    """Of a generator and of a data set, as of the whole: the script of Keras's examples, words, Conv1D and pooling."""

    def model():
        vectorize = layers.TextVectorization(output_sequence_length=5)
        vectorize.adapt(fn.utils.Dataset(TEXTS, Y, batch_size=7))
        embedded = [layers.Embedding(vectorize.vocabulary_size(), 4), layers.Conv1D(3, 2, activation="relu", padding="same")]
        made = fn.Sequential(
            [fn.Input((1,), dtype="string"), vectorize, *embedded, layers.GlobalMaxPooling1D(), layers.Dense(1)], seed=0
        )
        made.compile("adam", "mse")
        return made

    def batches():
        while True:
            yield from ((TEXTS[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8))

    whole, streamed, dataset = model(), model(), model()
    expected = whole.fit(TEXTS, Y, batch_size=8, shuffle=False, epochs=2, verbose=0).history["loss"]
    found = streamed.fit(batches(), steps_per_epoch=5, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(streamed.predict(TEXTS), whole.predict(TEXTS), rtol=1e-5, atol=1e-6)
    assert len(dataset.fit(fn.utils.Dataset(TEXTS, Y, batch_size=8), epochs=2, verbose=0).history["loss"]) == 2


def test_within_other_models():
    """As a layer of another model, in a class of one's own, and cut off behind the layer that looks text up."""
    model = text_model()
    expected = model.predict(TEXTS)
    x = fn.Input((1,), dtype="string")
    np.testing.assert_array_equal(fn.Model(x, model(x)).predict(TEXTS), expected)
    np.testing.assert_array_equal(fn.Sequential([model]).predict(TEXTS), expected)
    cut = fn.Model(model.layers[0].output, model.output)
    np.testing.assert_array_equal(cut.predict(model.layers[0](TEXTS)), expected)

    class Own(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.vectorize, self.embed = layers.TextVectorization(vocabulary=["good", "bad"]), layers.Embedding(4, 3)

        def call(self, x):
            return fn.ops.mean(self.embed(self.vectorize(x)), axis=1)

    own = Own()
    found = own.predict(["good a film", "bad"])
    np.testing.assert_allclose(found, own.embed.get_weights()[0][[[2, 1, 1], [3, 0, 0]]].mean(axis=1), rtol=1e-6)
    own.compile("adam", "mse")
    own.fit(TEXTS, RANDOM.normal(size=(40, 3)), verbose=0)


def test_a_vocabulary_is_learnt_after_the_model_was_made():
    lookup = layers.StringLookup()
    model = fn.Sequential([fn.Input((1,), dtype="string"), lookup], seed=0)
    lookup.adapt(COLORS)
    np.testing.assert_array_equal(model.predict(COLORS)[:, 0], lookup(COLORS))
    counted = layers.StringLookup(vocabulary=["a"], output_mode="count")
    fn.Sequential([fn.Input((1,), dtype="string"), counted])
    with pytest.raises(RuntimeError, match="made for 2 tokens, this vocabulary has 3"):
        counted.set_vocabulary(["a", "b"])
    assert counted.get_vocabulary() == ["[UNK]", "a"]


def test_where_text_cannot_go(tmp_path):
    x = fn.Input((1,), dtype="string")
    model = text_model()
    with pytest.raises(TypeError, match="'Dense' takes numbers, and its input holds text"):
        layers.Dense(1)(x)
    with pytest.raises(TypeError, match="takes text: make its input by fn.Input"):
        layers.StringLookup(vocabulary=["a"])(fn.Input((1,)))
    with pytest.raises(ValueError, match="holds text, which is no output"):
        fn.Model(x, layers.StringLookup(vocabulary=["a"], invert=True)(layers.StringLookup(vocabulary=["a"])(x)))
    with pytest.raises(ValueError, match="takes data as they are given to the model, got what layer 'dense'"):
        layers.Hashing(3)(layers.Dense(1, name="dense")(fn.Input((1,))))
    with pytest.raises(TypeError, match="takes text, got numbers"):
        model(fn.Input((1,)))
    with pytest.raises(TypeError, match="x has dtype float64; expected text"):
        model.predict(np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\), expected \(n, 1\)"):
        model.predict([["a", "b"], ["c", "d"]])
    for export in (model.export, lambda path: fn.saving.to_onnx(model, path)):
        with pytest.raises(NotImplementedError, match="layer 'text_vectorization' computes in Python, before the model"):
            export(tmp_path / ("model.c" if export == model.export else "model.onnx"))
    with pytest.raises(ValueError, match="holds 14 in row 0, expected whole numbers from 0 to 11"):
        large = layers.StringLookup(vocabulary=[str(i) for i in range(20)])
        fn.Sequential([x, large, layers.Embedding(12, 2)]).predict(["13", "1"])


def test_files_of_keras(tmp_path):
    """Written and read; the vocabulary is in the configuration, or beside it where Keras's layer was adapted."""
    model, path = text_model(), tmp_path / "text.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    described = config["config"]["layers"]
    assert (
        described[0]["config"]["dtype"] == "string" and described[1]["config"]["vocabulary"] == model.layers[0].get_vocabulary()
    )
    np.testing.assert_array_equal(fn.load_model(path).predict(TEXTS), model.predict(TEXTS))
    described[1]["config"].update(vocabulary=None, vocabulary_size=model.layers[0].vocabulary_size())
    with zipfile.ZipFile(tmp_path / "adapted.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
        archive.writestr("assets/layers/text_vectorization/vocabulary.txt", "\n".join(model.layers[0].get_vocabulary()))
    np.testing.assert_array_equal(fn.load_model(tmp_path / "adapted.keras").predict(TEXTS), model.predict(TEXTS))
    table = table_model()
    table.save(tmp_path / "table.keras")
    x = {"color": COLORS, "number": NUMBERS}
    np.testing.assert_allclose(fn.load_model(tmp_path / "table.keras").predict(x), table.predict(x), rtol=1e-6)
    own = layers.TextVectorization(standardize=lower_texts, vocabulary=["a"])
    with pytest.raises(ValueError, match="standardize is a function of your own, which Keras would not find"):
        fn.Sequential([fn.Input((1,), dtype="string"), own]).save(tmp_path / "own.keras")
    filled = layers.Normalization(mean=0.0, variance=1.0, fill_missing=True)
    with pytest.raises(ValueError, match="fill_missing=True has no form in Keras"):
        fn.Sequential([fn.Input((1,)), filled]).save(tmp_path / "own.keras")
