"""Whatever NumPy can view is trained on as if it were a plain array, without copies where none are needed."""

import array
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from networks import classes, network, regression, same_weights

import fastnet as fn
from fastnet import _data
from fastnet.data.dataset import needs_source

N = 24
X = np.random.default_rng(0).integers(-3, 4, (N, 4)).astype(np.float64)  # exact in every type
Y = np.random.default_rng(1).integers(0, 3, N).astype(np.float64)


def fortran(a):
    return np.asfortranarray(a)


def reversed_rows(a):
    return a[::-1].copy()[::-1]


def every_other(a):
    return np.repeat(a, 2, axis=0)[::2]


def columns_of_wider(a):
    return np.repeat(a.reshape(len(a), -1), 3, axis=1)[:, ::3].reshape(a.shape)


def slice_of_wider(a):
    flat = a.reshape(len(a), -1)
    return np.hstack([flat, flat])[:, : flat.shape[1]].reshape(a.shape)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    view = np.ndarray(a.shape, a.dtype, np.zeros(a.nbytes + 1, np.uint8)[1:].data)
    view[...] = a
    assert not view.flags.aligned
    return view


def subclass(a):
    return np.ma.masked_array(a)


class Quacks:
    """Something with NumPy's protocol and nothing else."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


KINDS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a)) if a.ndim == 2 else tuple(a),
    "list of arrays": lambda a: list(a),
    "fortran": fortran,
    "reversed": reversed_rows,
    "every other row": every_other,
    "strided columns": columns_of_wider,
    "part of wider rows": slice_of_wider,
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "subclass": subclass,
    "quacks": Quacks,
    "frame": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
    "frame of columns": lambda a: pd.DataFrame({str(i): c for i, c in enumerate(a.T)}) if a.ndim == 2 else pd.Series(a),
    "frame with an index": lambda a: (pd.DataFrame if a.ndim == 2 else pd.Series)(a, index=np.arange(len(a))[::-1]),
    "nullable": lambda a: pd.DataFrame(a).astype("Float64") if a.ndim == 2 else pd.Series(a).astype("Int64"),
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
}
TYPES = ["int8", "int16", "int32", "int64", "longlong", ">i2", ">i8", "float16", "float32", "float64", "longdouble",
         ">f2"]  # fmt: skip


def trained(x, y, **options):
    model = regression(5, 1, optimizer="adam")
    model.fit(x, y, batch_size=7, epochs=2, verbose=0, validation_split=0.25, **options)
    return model


@pytest.fixture(scope="module")
def plain():
    return trained(X, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_arrays(plain, kind):
    make = KINDS[kind]
    model = trained(make(X), make(Y), sample_weight=make(np.ones(N)))
    assert same_weights(model, plain)
    assert np.array_equal(model.predict(make(X)), plain.predict(X))
    assert model.evaluate(make(X), make(Y)) == plain.evaluate(X, Y)
    assert model.train_on_batch(make(X), make(Y)) == trained(X, Y).train_on_batch(X, Y)


@pytest.mark.parametrize("dtype", TYPES)
def test_kinds_of_numbers(plain, dtype):
    x, y = X.astype(dtype), Y.astype(dtype)
    model = trained(x, y)
    assert same_weights(model, plain) and np.array_equal(model.predict(x), plain.predict(X))
    fortran_ordered = trained(np.asfortranarray(x), y[:, None])
    assert same_weights(fortran_ordered, plain)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "bool"])
def test_kinds_of_positive_numbers(dtype):
    x, y = X.astype(bool).astype(dtype), Y.astype(bool).astype(dtype)
    assert same_weights(trained(x, y), trained(x.astype(float), y.astype(float)))


def test_columns_of_several_types(plain):
    frame = pd.DataFrame({"a": X[:, 0].astype("int8"), "b": X[:, 1], "c": X[:, 2].astype("float32"), "d": X[:, 3]})
    assert same_weights(trained(frame, pd.Series(Y, dtype="Int8")), plain)
    frame["a"], frame["b"] = frame["a"] > 0, frame["b"].astype("Int32")  # as an array, objects
    x = np.column_stack([X[:, 0] > 0, X[:, 1:]])
    assert same_weights(trained(frame, Y), trained(x, Y))
    frame.loc[5, "b"] = pd.NA
    with pytest.raises(ValueError, match="x holds nan in row 5"):
        trained(frame, Y)
    frame["c"] = "1"
    with pytest.raises(TypeError, match="x has dtype object"):
        trained(frame, Y)


def test_targets_may_have_an_axis_more_or_less(plain):
    assert same_weights(trained(X, Y[:, None]), plain)
    assert same_weights(trained([X], [Y]), plain)
    assert same_weights(trained({"input": X}, {"dense_1": Y}), plain)
    labels = classes(N, 3)
    column = labels[:, None]
    models = []
    for y in (
        labels,
        column,
        labels.tolist(),
        labels.astype("float32"),
        labels.astype(">i4"),
        column.astype("uint8"),
        pd.Series(labels),
        [labels],
    ):
        model = network(3)
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(X, y, verbose=0)
        models.append(model)
    assert all(same_weights(model, models[0]) for model in models)


def test_one_feature_may_lack_its_axis():
    x = X[:, 0]
    models = []
    for given in (x, x[:, None], x.tolist(), pd.Series(x), [x], array.array("d", x)):
        model = regression(3, 1, features=1)
        model.fit(given, Y, verbose=0)
        models.append(model)
        assert model.predict(given).shape == (N, 1)
    assert all(same_weights(model, models[0]) for model in models)


def test_a_single_row_in_a_list():
    model = network(3)
    y = model.predict(X[:1])
    for given in ([X[0]], [X[0].tolist()], X[:1], [X[:1]], (X[0],)):
        assert np.array_equal(model.predict(given), y)
    model.compile("sgd", "mse")
    loss = model.evaluate(X[:1], y)
    assert model.evaluate([X[0]], [y[0]]) == loss == 0


def test_one_row_is_trained_on():
    model = regression(3, 1)
    assert len(model.fit(X[:1], Y[:1], verbose=0).epoch) == 1


def test_images_of_bytes():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 1)).astype(np.uint8)
    labels = classes(50, 4).astype(np.uint8)
    models = []
    for x in (images, images.astype(np.float32), np.asfortranarray(images), np.flip(np.flip(images, 1).copy(), 1)):
        model = fn.Sequential([fn.Input((6, 6, 1)), fn.layers.Flatten(), fn.layers.Dense(4)], seed=0)
        model.compile(fn.optimizers.Adam(1e-4), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, labels, epochs=2, batch_size=16, verbose=0)
        models.append(model)
    assert all(same_weights(model, models[0]) for model in models)


def test_nothing_given_is_changed():
    x, y, weight = X.copy(), Y.copy(), np.ones(N)
    trained(x, y, sample_weight=weight)
    assert np.array_equal(x, X) and np.array_equal(y, Y) and np.array_equal(weight, np.ones(N))


# ---- copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda a: a, read_only, reversed_rows, every_other, slice_of_wider, lambda a: a[3:9],
    lambda a: a.astype(np.float32), lambda a: a.astype(np.int64), lambda a: np.broadcast_to(a[:1], a.shape),
    lambda a: np.asfortranarray(a[:, :1]),
])  # fmt: skip
def test_views_stay_views(make):
    given = make(X)
    assert np.shares_memory(_data.as_rows(given, given.shape[1:], "x"), given)


def peak_of(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int32"])
def test_memory_maps_stay_mapped(tmp_path, dtype):
    """Training takes a fraction of the memory of the data, also where they are converted."""
    n, width = 50_000, 64
    shape = (n, width)
    x = np.memmap(tmp_path / "x", dtype, "w+", shape=shape)
    y = np.memmap(tmp_path / "y", "float32", "w+", shape=(n,))
    random = np.random.default_rng(0)
    x[...] = random.integers(0, 5, shape)
    y[...] = x[:, 0]
    x = np.memmap(tmp_path / "x", dtype, "r", shape=shape)
    model = regression(1, features=width, dtype="float32")
    model.compile(fn.optimizers.SGD(1e-3), "mse")
    model.fit(x[:100], y[:100], verbose=0)

    def use():
        model.fit(x, y, batch_size=512, verbose=0)
        model.evaluate(x, y)
        model.predict(x)

    # The order of the rows (8 bytes each) and the predictions (4) are all that grows with the data.
    assert peak_of(use) < 12 * n + 400_000 < x.nbytes
    in_memory = regression(1, features=width, dtype="float32", optimizer=fn.optimizers.SGD(1e-3))
    in_memory.fit(np.array(x), np.array(y), batch_size=512, verbose=0)
    again = regression(1, features=width, dtype="float32", optimizer=fn.optimizers.SGD(1e-3))
    again.fit(x, y, batch_size=512, verbose=0)
    assert same_weights(in_memory, again)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "uint8", "int32", "int64", "longlong", ">f4", "float16", "uint16", "bool"]
)
@pytest.mark.parametrize("rows", [np.s_[:], np.s_[::2], np.s_[::-1], np.s_[:, 1:], np.s_[:, ::2], np.s_[:, 0]], ids=str)
def test_memory_maps_are_read_part_by_part_only_where_they_would_be_copied(tmp_path, dtype, rows):
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=(6, 4))[rows]
    assert needs_source(mapped) == (not np.shares_memory(mapped, _data.as_array(mapped, "x")))
