"""fn.utils, fn.config, fn.backend, fn.models: what scripts look for beside layers. Results by hand where nothing else is said."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import utils


def dense(**options):
    return fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "relu"), fn.layers.Dense(1)], **options)


def test_to_categorical():
    expected = [[0, 0, 1], [1, 0, 0]]
    for given in ([2, 0], np.array([[2], [0]]), np.array([2.0, 0.0])):
        assert utils.to_categorical(given).tolist() == expected
    assert utils.to_categorical(np.zeros((2, 3), int), 4).shape == (2, 3, 4)
    for wrong in ([-1], [3], [0.5]):
        with pytest.raises(ValueError, match="to_categorical"):
            utils.to_categorical(wrong, 3)


def test_normalize():
    np.testing.assert_allclose(utils.normalize([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(utils.normalize([[1.0, 3.0]], order=1), [[0.25, 0.75]])
    np.testing.assert_allclose(utils.normalize([[3.0], [4.0]], axis=0), [[0.6], [0.8]])


@pytest.mark.parametrize(("options", "expected"), [
    ({}, [[0, 0, 1], [2, 3, 0], [4, 5, 6]]),
    ({"padding": "post"}, [[1, 0, 0], [2, 3, 0], [4, 5, 6]]),
    ({"maxlen": 2}, [[0, 1], [3, 0], [5, 6]]),
    ({"maxlen": 2, "truncating": "post", "value": 9}, [[9, 1], [2, 3], [4, 5]]),
    ({"maxlen": 1, "padding": "post"}, [[1], [0], [6]]),
])  # fmt: skip
def test_pad_sequences(options, expected):
    found = utils.pad_sequences([[1], [2, 3, 0], [4, 5, 6]], **options)
    assert found.tolist() == expected and found.dtype == np.int32


def test_pad_sequences_of_rows():
    assert utils.pad_sequences([[[1.5, 2]], [[3, 4], [5, 6]], []], dtype="float64").tolist() == [
        [[0, 0], [1.5, 2]], [[3, 4], [5, 6]], [[0, 0], [0, 0]]
    ]  # fmt: skip
    for wrong in ({"padding": "left"}, {"truncating": "no"}):
        with pytest.raises(ValueError, match="must be 'pre' or 'post'"):
            utils.pad_sequences([[1]], **wrong)
    with pytest.raises(ValueError, match="list of sequences"):
        utils.pad_sequences([1, 2])
    with pytest.raises(ValueError, match="sequence 1 has items of shape"):
        utils.pad_sequences([[[1, 2]], [[1, 2, 3]]])


def test_a_seed_for_the_program():
    def made():
        utils.set_random_seed(3)
        return [np.concatenate([w.ravel() for w in dense().get_weights()]) for _ in range(2)] + [np.random.random(2)]

    first, again = made(), made()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first[0] != first[1]).any()  # each model has a seed of its own
    utils.set_random_seed(4)
    assert (np.concatenate([w.ravel() for w in dense().get_weights()]) != first[0]).any()
    for wrong in (-1, 2**32, 1.5, True, None):
        with pytest.raises(ValueError, match="set_random_seed"):
            utils.set_random_seed(wrong)


def test_the_precision_of_models():
    try:
        fn.config.set_floatx("float64")
        assert fn.backend.floatx() == "float64" and dense().dtype == "float64" and dense(dtype="float32").dtype == "float32"
        with pytest.raises(ValueError, match="float32"):
            fn.config.set_floatx("float16")
        assert fn.config.floatx() == "float64"
    finally:
        fn.config.set_floatx("float32")
    assert dense().dtype == "float32"


def test_settings_that_the_engine_has():
    fn.backend.clear_session()
    fn.config.set_epsilon(fn.config.epsilon())
    fn.config.set_image_data_format(fn.config.image_data_format())
    for wrong in (lambda: fn.config.set_epsilon(1e-3), lambda: fn.config.set_image_data_format("channels_first")):
        with pytest.raises(ValueError):
            wrong()
    assert fn.backend.is_keras_tensor(fn.Input((1,))) and not fn.backend.is_keras_tensor(1)


def test_clones():
    model = dense(seed=0)
    model.compile("adam", "mse")
    inputs = fn.Input((3,), name="a")
    branches = fn.Model(inputs, fn.layers.Add()([fn.layers.Dense(2)(inputs), fn.layers.Dense(2)(inputs)]), seed=0)
    for one in (model, branches):
        clone = fn.models.clone_model(one)
        assert [w.shape for w in clone.weights] == [w.shape for w in one.weights]
        assert [layer.name for layer in clone.layers] == [layer.name for layer in one.layers]
        assert (clone.get_weights()[0] != one.get_weights()[0]).any()
        with pytest.raises(RuntimeError, match="compiled"):
            clone.optimizer
        clone.set_weights(one.get_weights())
        np.testing.assert_array_equal(clone.predict(np.ones((2, 3))), one.predict(np.ones((2, 3))))
    wider = fn.models.clone_model(model, clone_function=lambda layer: fn.layers.Dense(7))
    assert [w.shape for w in wider.weights] == [(3, 7), (7,), (7, 7), (7,)]
    assert fn.models.clone_model(model, input_tensors=fn.Input((3,), name="mine")).input_names == ["mine"]
    with pytest.raises(ValueError, match="Sequential"):
        fn.models.clone_model(branches, clone_function=lambda layer: layer)


# ---- data sets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "windows", "targets"), [
    ({}, [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]], [0, 1, 2, 3]),
    ({"sequence_stride": 2}, [[0, 1, 2], [2, 3, 4]], [0, 2]),
    ({"sampling_rate": 2}, [[0, 2, 4], [1, 3, 5]], [0, 1]),
    ({"start_index": 1, "end_index": 5}, [[1, 2, 3], [2, 3, 4]], [1, 2]),
])  # fmt: skip
def test_windows(options, windows, targets):
    series = np.arange(6)
    found = utils.timeseries_dataset_from_array(series, series * 10, 3, batch_size=2, **options)
    assert found.x.tolist() == windows and (found.y / 10).tolist() == targets
    assert np.concatenate([x for x, _ in found]).tolist() == windows
    assert len(found) == -(-len(windows) // 2)
    assert utils.timeseries_dataset_from_array(series, None, 3, **options).y is None
    short = utils.timeseries_dataset_from_array(series, [7], 3)
    assert short.x.tolist() == [[0, 1, 2]] and short.y.tolist() == [7]


def test_windows_that_do_not_fit():
    for length, options in ((7, {}), (0, {}), (3, {"sampling_rate": 4}), (3, {"start_index": 5}), (3, {"end_index": 9})):
        with pytest.raises(ValueError, match="timeseries_dataset_from_array"):
            utils.timeseries_dataset_from_array(np.arange(6), None, length, **options)


def test_windows_are_a_view_of_the_series():
    series = np.arange(20.0).reshape(10, 2)
    assert np.shares_memory(utils.timeseries_dataset_from_array(series, None, 4).x, series)


@pytest.mark.parametrize(("sizes", "rows"), [
    ({"left_size": 0.8}, (8, 2)), ({"right_size": 3}, (7, 3)), ({"left_size": 4, "right_size": 0.2}, (4, 2)),
    ({"left_size": 0.5, "shuffle": True, "seed": 1}, (5, 5)),
])  # fmt: skip
def test_split(sizes, rows):
    x, y = np.arange(10.0), np.arange(10)
    left, right = utils.split_dataset((x, y), **sizes)
    assert (left.n_rows, right.n_rows) == rows
    assert not set(left.y.tolist()) & set(right.y.tolist())
    assert all(pair[0] == pair[1] for pair in left)
    assert ("shuffle" in sizes) == (left.y.tolist() != list(range(rows[0])))


def test_split_in_wrong_sizes():
    for wrong in ({}, {"left_size": 1.0}, {"left_size": 0}, {"left_size": 9, "right_size": 5}):
        with pytest.raises(ValueError, match="split_dataset"):
            utils.split_dataset(np.arange(10), **wrong)


@pytest.mark.parametrize("weighted", [False, True])
def test_training_with_a_data_set_is_training_with_its_arrays(weighted):
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=(20, 3)), rng.normal(size=20), rng.uniform(size=20) if weighted else None

    def run(arrays):
        model = dense(seed=1)
        model.compile("adam", "mse", metrics=["mae"])
        if arrays:
            held = (x[:6], y[:6])
            history = model.fit(x, y, batch_size=5, epochs=2, verbose=0, sample_weight=weight, validation_data=held)
            rest = [model.evaluate(x, y, batch_size=5, sample_weight=weight), model.predict(x, batch_size=5)]
        else:
            data = utils.Dataset(x, y, weight, batch_size=5)
            history = model.fit(data, epochs=2, verbose=0, validation_data=utils.Dataset(x[:6], y[:6]))
            rest = [model.evaluate(data), model.predict(data)]
        values = [value for name, value in sorted(history.history.items()) if name != "seconds"]
        return [*values, *rest, *model.get_weights()]

    for one, other in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_data_set_has_its_own_targets():
    model = dense()
    model.compile("adam", "mse")
    data = utils.Dataset(np.ones((4, 3)), np.ones(4))
    for more in ({"y": np.ones(4)}, {"batch_size": 2}, {"sample_weight": np.ones(4)}):
        for call in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=f"its own {next(iter(more))}"):
                call(data, **more)


def test_batches_that_nobody_says_how_to_make():
    model = dense()
    model.compile("adam", "mse")
    for wrong in (utils.PyDataset(), type("Half", (utils.PyDataset,), {"__len__": lambda self: 1})()):
        with pytest.raises(NotImplementedError, match="does not say"):
            model.fit(wrong, verbose=0)


def test_order_of_rows():
    data = utils.Dataset(np.arange(50), batch_size=8, shuffle=True, seed=0)
    first, second = np.concatenate(list(data)), np.concatenate(list(data))
    assert sorted(first) == sorted(second) == list(range(50)) and (first != second).any() and (first != np.arange(50)).any()
    named = utils.Dataset({"a": np.arange(3), "b": np.arange(3)}, (np.zeros(3), np.ones(3)), batch_size=2)
    x, y = next(iter(named))
    assert x["a"].tolist() == [0, 1] and [part.tolist() for part in y] == [[0, 0], [1, 1]]
    assert [len(batch[1][0]) for batch in named.batch(3)] == [3]


# ---- files ---------------------------------------------------------------------------------------------


def test_a_file_that_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(FileNotFoundError, match="downloads nothing.*keras/datasets/a.csv.*https://example.org/a.csv"):
        utils.get_file("a.csv", "https://example.org/a.csv")
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    (tmp_path / "keras" / "datasets" / "a.csv").write_text("1,2\n")
    for given in (("a.csv", None), (None, "https://example.org/a.csv")):
        assert utils.get_file(*given) == str(tmp_path / "keras" / "datasets" / "a.csv")
    (tmp_path / "a.csv").write_text("3\n")
    assert utils.get_file("a.csv") == "a.csv"
    assert utils.get_file(origin=f"file://{tmp_path}/a.csv") == str(tmp_path / "a.csv")
    digest = "1121cfccd5913f0a63fec40a6ffd44ea64f9dc135c66634ba001d10bcf4302a2"  # of sha256sum
    assert utils.get_file("a.csv", file_hash=digest)
    with pytest.raises(ValueError, match="sha256"):
        utils.get_file("a.csv", file_hash="0" * 64)
    with pytest.raises(ValueError, match="fname or origin"):
        utils.get_file()
    (tmp_path / "flowers").mkdir()
    assert utils.get_file("flowers.tar.gz", "https://example.org/flowers.tar.gz", extract=True) == "flowers"


@pytest.fixture
def texts(tmp_path):
    for name, count in (("bad", 3), ("good", 5)):
        (tmp_path / name).mkdir()
        for i in range(count):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i} é")
    (tmp_path / "good" / "notes.md").write_text("none")
    return tmp_path


def test_texts_of_a_folder(texts):
    data = utils.text_dataset_from_directory(texts, batch_size=3, shuffle=False)
    assert data.class_names == ["bad", "good"] and data.y.tolist() == [0] * 3 + [1] * 5
    assert data.x.tolist() == [f"bad {i} é" for i in range(3)] + [f"good {i} é" for i in range(5)]
    assert utils.text_dataset_from_directory(texts, label_mode="binary", shuffle=False).y.tolist() == [[0]] * 3 + [[1]] * 5
    one_hot = utils.text_dataset_from_directory(texts, label_mode="categorical", shuffle=False, class_names=["good", "bad"])
    assert one_hot.y.tolist() == [[1, 0]] * 5 + [[0, 1]] * 3
    assert utils.text_dataset_from_directory(texts, labels=None, shuffle=False).y is None
    assert utils.text_dataset_from_directory(texts, labels=list(range(8)), shuffle=False).y.tolist() == list(range(8))
    assert utils.text_dataset_from_directory(texts, max_length=3, shuffle=False).x[0] == "bad"
    left, right = utils.text_dataset_from_directory(texts, validation_split=0.25, subset="both", seed=1)
    again = utils.text_dataset_from_directory(texts, validation_split=0.25, subset="validation", seed=1)
    assert (left.n_rows, right.n_rows) == (6, 2) and again.x.tolist() == right.x.tolist()
    assert not set(left.x.tolist()) & set(right.x.tolist())


@pytest.mark.parametrize(("options", "message"), [
    ({"label_mode": "words"}, "label_mode"), ({"class_names": ["bad", "ugly"]}, "class_names"), ({"labels": [1]}, "one for each of the 8"),
    ({"subset": "training"}, "go together"), ({"validation_split": 0.1, "subset": "training"}, "give a seed"),
    ({"validation_split": 2.0, "subset": "both"}, "between 0 and 1"), ({"validation_split": 0.1, "subset": "some"}, "subset must be"),
])  # fmt: skip
def test_folders_and_arguments_that_do_not_fit(texts, options, message):
    with pytest.raises(ValueError, match=message):
        utils.text_dataset_from_directory(texts, **options)


def test_folders_without_files(tmp_path):
    with pytest.raises(NotADirectoryError, match="nothing"):
        utils.text_dataset_from_directory(tmp_path / "nothing")
    for labels in ("inferred", None):
        with pytest.raises(ValueError, match="no files"):
            utils.text_dataset_from_directory(tmp_path, labels=labels)


def test_images_of_a_folder(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    for name, image in (("a", pixels), ("b", 255 - pixels)):
        (tmp_path / name).mkdir()
        utils.save_img(tmp_path / name / "1.png", image, scale=False)
    data = utils.image_dataset_from_directory(tmp_path, image_size=(4, 4), shuffle=False)
    assert data.x.dtype == np.uint8 and data.y.tolist() == [0, 1]
    np.testing.assert_array_equal(data.x, [pixels, 255 - pixels])
    smaller = utils.image_dataset_from_directory(
        tmp_path, image_size=(2, 2), shuffle=False, color_mode="grayscale", interpolation="box"
    )
    grey = (pixels @ [0.299, 0.587, 0.114]).reshape(2, 2, 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(smaller.x[0, :, :, 0], grey, atol=1)
    cut = utils.load_img(tmp_path / "a" / "1.png", target_size=(4, 2), keep_aspect_ratio=True)
    np.testing.assert_array_equal(utils.img_to_array(cut), pixels[:, 1:3])
    np.testing.assert_array_equal(utils.img_to_array(utils.array_to_img(pixels[..., :1] - 5.0)).ravel()[[0, -1]], [0, 255])
    for wrong in (
        lambda: utils.load_img(tmp_path / "a" / "1.png", color_mode="cmyk"),
        lambda: utils.array_to_img(np.zeros((2, 2))),
        lambda: utils.img_to_array(np.zeros(3)),
        lambda: utils.img_to_array(pixels, data_format="channels_first"),
    ):
        with pytest.raises(ValueError):
            wrong()
