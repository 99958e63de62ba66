"""Messages that say where a fault is, and what may have been meant: gaps by column, missing layers, folders; balanced classes."""

import importlib
import pathlib
import re

import numpy as np
import pandas as pd
import pytest
from networks import classes, network, regression, rejects, rows
from sklearn.utils.class_weight import compute_class_weight

import fastnet as fn
from fastnet import _figures
from fastnet.history import write_csv

N = 12


def with_gap(shape, place, value=np.nan):
    array = np.ones(shape)
    array[place] = value
    return array


# ---- gaps ------------------------------------------------------------------------------------------------------

TABLE = pd.DataFrame(with_gap((N, 4), (7, 2)), columns=["size", "age", "income", "rooms"])


@pytest.mark.parametrize("x, place", [
    (with_gap((N, 4), (7, 2)), "x holds nan in row 7, column 2; clean"),
    (with_gap((N, 4), (7, 2), -np.inf), "x holds -inf in row 7, column 2; clean"),
    (with_gap((N, 4), (7, 2)).tolist(), "x holds nan in row 7, column 2; clean"),
    (TABLE, "x holds nan in row 7, column 2 ('income'); clean"),
    ([TABLE], "x holds nan in row 7, column 2 ('income'); clean"),
    (TABLE.astype("Float64"), "x holds nan in row 7, column 2 ('income'); clean"),
    ({"input": TABLE}, "x holds nan in row 7, column 2 ('income'); clean"),
])  # fmt: skip
def test_a_gap_has_a_column(x, place):
    model = regression(5, 1)
    for call in (lambda: model.fit(x, rows(N, 1), verbose=0), lambda: model.evaluate(x, rows(N, 1)),
                 lambda: model.predict(x, check_finite=True)):  # fmt: skip
        with rejects(model, ValueError, place):
            call()


def test_gaps_of_images_of_targets_and_of_single_features():
    image = fn.Sequential([fn.Input((3, 5, 2)), fn.layers.Flatten(), fn.layers.Dense(2)])
    image.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"x holds nan in row 3 at \(1, 4, 0\); clean"):
        image.fit(with_gap((N, 3, 5, 2), (3, 1, 4, 0)), rows(N, 2), verbose=0)
    targets = pd.DataFrame(with_gap((N, 2), (4, 1)), columns=["low", "high"])
    with pytest.raises(ValueError, match=r"y holds nan in row 4, column 1 \('high'\); clean"):
        image.fit(np.ones((N, 3, 5, 2)), targets, verbose=0)
    line = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)])
    line.compile("sgd", "mse")
    for x in (with_gap(N, 5), with_gap((N, 1), 5)):
        with pytest.raises(ValueError, match="x holds nan in row 5; clean"):
            line.fit(x, np.ones(N), verbose=0)
    with pytest.raises(ValueError, match="y holds nan in row 5; clean"):
        line.fit(np.ones(N), pd.Series(with_gap(N, 5), name="price"), verbose=0)


def test_gaps_in_data_that_layers_learn_from():
    for layer in (fn.layers.Normalization(), fn.layers.MinMaxScaling()):
        with pytest.raises(ValueError, match=r"in row 7, column 2 \('income'\)"):
            layer.adapt(TABLE)
        with pytest.raises(ValueError, match="in row 7, column 2$"):
            layer.adapt(TABLE.to_numpy())


def test_tokens_and_weights_have_a_place_in_their_row():
    words = fn.Sequential([fn.Input((3,)), fn.layers.Embedding(5, 2), fn.layers.Dense(1)])
    words.compile("sgd", "mse")
    with pytest.raises(ValueError, match="x holds 9 in row 2, column 1, expected whole numbers from 0 to 4"):
        words.predict(with_gap((N, 3), (2, 1), 9))
    with pytest.raises(ValueError, match="sample_weight is nan in row 2, column 1;"):
        words.fit(np.ones((N, 3)), np.ones((N, 3, 1)), sample_weight=with_gap((N, 3), (2, 1)), verbose=0)


# ---- balanced classes ------------------------------------------------------------------------------------------

LABELS = np.repeat([0, 2, 1], [60, 25, 15])[np.random.default_rng(3).permutation(100)]


def trained(y, class_weight, **options):
    model = network(3, last="softmax")
    model.compile("sgd", "sparse_categorical_crossentropy" if y.ndim == 1 else "categorical_crossentropy")
    history = model.fit(rows(100, 4), y, class_weight=class_weight, epochs=2, verbose=0, **options)
    return [*model.get_weights(), history.history["loss"]]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("options, counted", [
    ({}, 100), ({"validation_split": 0.3}, 70), ({"validation_split": 0.3, "validation_data": (rows(5, 4), LABELS[:5])}, 100),
])  # fmt: skip
def test_balanced_classes_are_weighted_as_in_scikit_learn(options, counted):
    weights = compute_class_weight("balanced", classes=np.arange(3), y=LABELS[:counted])
    by_class = dict(enumerate(weights))
    assert same(trained(LABELS, "balanced", **options), trained(LABELS, by_class, **options))
    assert not same(trained(LABELS, "balanced", **options), trained(LABELS, None, **options))
    if not options:
        assert same(trained(np.eye(3)[LABELS], "balanced"), trained(np.eye(3)[LABELS], by_class))


def test_a_class_that_is_missing_counts_for_none():
    y = np.where(LABELS == 1, 0, LABELS)
    assert same(
        trained(y, "balanced"), trained(y, dict(zip((0, 2), compute_class_weight("balanced", classes=np.array([0, 2]), y=y))))
    )


def test_batches_are_balanced_by_themselves():
    one, other = (network(3, last="softmax") for _ in range(2))
    for model, given in ((one, "balanced"), (other, {0: 4 / 6, 2: 4 / 2})):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.train_on_batch(rows(4, 4), [0, 0, 2, 0], class_weight=given)
    assert same(one.get_weights(), other.get_weights())


def test_what_cannot_be_balanced():
    model = regression(5, 1)
    with rejects(model, ValueError, "class_weight='balanced' needs targets that are class numbers"):
        model.fit(rows(N, 4), rows(N, 1), class_weight="balanced", verbose=0)
    with rejects(model, TypeError, "or 'balanced', got 'equal'"):
        model.fit(rows(N, 4), rows(N, 1), class_weight="equal", verbose=0)


# ---- layers that are missing -------------------------------------------------------------------------------------

IMAGES, STEPS = (6, 6, 3), (7, 5)


@pytest.mark.parametrize("shape, layer, hint", [
    (IMAGES, fn.layers.Conv2D(4, 3), "did you mean Flatten or GlobalAveragePooling2D before the last layer?"),
    (STEPS, fn.layers.Conv1D(4, 3), "did you mean Flatten, GlobalAveragePooling1D or return_sequences=False before the last layer?"),
    (STEPS, fn.layers.LSTM(4, return_sequences=True), "return_sequences=False before the last layer?"),
])  # fmt: skip
@pytest.mark.parametrize("loss, y, last", [
    ("sparse_categorical_crossentropy", classes(N, 3), (3, "softmax")), ("sparse_categorical_crossentropy", classes(N, 3)[:, None], (3, "softmax")),
    ("categorical_crossentropy", np.eye(3)[classes(N, 3)], (3, "softmax")), ("categorical_crossentropy", classes(N, 3), (3, "softmax")),
    ("binary_crossentropy", classes(N, 2), (1, "sigmoid")), ("mse", np.ones(N), (1,)), ("mse", np.ones((N, 1)), (1,)),
])  # fmt: skip
def test_targets_of_rows_for_an_output_of_positions(shape, layer, hint, loss, y, last):
    model = fn.Sequential([fn.Input(shape), layer, fn.layers.Dense(*last)], seed=0)
    model.compile("sgd", loss)
    x = np.ones((N, *shape))
    for call in (lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y)):
        with rejects(model, ValueError, f"y has shape {y.shape}, one target for each row", hint):
            call()


def test_other_shapes_are_told_as_ever():
    model = fn.Sequential([fn.Input(STEPS), fn.layers.Dense(3)], seed=0)
    model.compile("sgd", "mse")
    with rejects(model, ValueError, "y has shape (12, 6, 3), expected (n, 7, 3)"):
        model.fit(np.ones((N, *STEPS)), np.ones((N, 6, 3)), verbose=0)


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [
    lambda path: network(3, 1).save(path), lambda path: network(3, 1).save_weights(path), lambda path: network(3, 1).export(path),
    lambda path: write_csv(path, ["a"], [{"a": 1}]), lambda path: write_csv(path, ["a"], [{"a": 1}], append=True),
    lambda path: _figures.save_figure(fn.schedules.CosineDecay(0.1, 10).plot(10), path),
], ids=["model", "weights", "export", "table", "more of a table", "picture"])  # fmt: skip
@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_a_missing_folder_has_a_name(write, there, tmp_path):
    folder = tmp_path / "results"
    if there == "a file":
        folder.write_bytes(b"")
    with pytest.raises(FileNotFoundError) as caught:
        write(folder / "last.c")
    assert f"there is no folder {str(folder)!r} to write to" in str(caught.value) and ".tmp" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == (["results"] if there == "a file" else [])


def test_callbacks_make_their_folders(tmp_path):
    callbacks = [fn.callbacks.ModelCheckpoint(tmp_path / "a" / "b" / "m.safetensors"), fn.callbacks.CSVLogger(tmp_path / "c" / "log.csv"),
                 fn.callbacks.TrainingCheckpoint(tmp_path / "d" / "all.safetensors")]  # fmt: skip
    regression().fit(rows(N, 4), rows(N, 1), callbacks=callbacks, verbose=0)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == [
        "a/b/m.safetensors",
        "c/log.csv",
        "d/all.safetensors",
    ]


# ---- names -----------------------------------------------------------------------------------------------------


def is_there(name):
    """Whether a dotted name is that of a thing of fastnet, or of a module of it."""
    thing, path = fn, "fastnet"
    for part in name.split("."):
        path += f".{part}"
        if not hasattr(thing, part):
            try:
                importlib.import_module(path)
            except ImportError:
                return False
        thing = getattr(thing, part)
    return True


def test_what_messages_and_docstrings_name_is_there():
    assert is_there("layers.Dense") and is_there("_cli.tables") and not is_there("layers.Dance") and not is_there("to_everything")
    names = {}
    for path in sorted(pathlib.Path(fn.__file__).parent.rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            # Not those of which only the beginning is there, as in f"fn.ops.segment_{name}".
            found = re.findall(r"(?<![\w./-])(?:fn|fastnet)((?:\.[A-Za-z_]\w*)+)(?![\w{])", line)
            names.update({name[1:]: f"{path.name}:{number}" for name in found})
    assert len(names) > 200
    assert not {name: place for name, place in names.items() if not is_there(name)}
