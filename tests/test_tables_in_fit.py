"""Rows of files, tables, sparse matrices and memory maps: read part by part, in an order that is a function of the seed."""

import gzip
import itertools
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from networks import same_weights
from test_streams import Interrupt, InterruptAt, curves

import fastnet as fn
from fastnet.callbacks import TrainingCheckpoint
from fastnet.data import Dataset, dataset, rows, tables

N, SIZE = 103, 10
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, 3)).astype("f")
Y = (X @ [[1.0], [2.0], [-1.0]] + 0.1).astype("f")
WEIGHT = RNG.uniform(0.5, 2, N).astype("f")
NAMES = ["a", "b", "c"]


def model(optimizer="adam", seed=1, n=3):
    made = fn.Sequential([fn.Input((n,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)], seed=seed)
    made.compile(optimizer, "mse", metrics=["mae"])
    return made


@pytest.fixture
def small_parts(monkeypatch):
    """Little is read at once, so that there are many parts."""
    monkeypatch.setattr(rows, "_BYTES", 1)


@pytest.fixture(scope="module")
def pa():
    return pytest.importorskip("pyarrow")


def columns(weight=False):
    found = {name: X[:, i] for i, name in enumerate(NAMES)}
    found["target"] = Y[:, 0]
    return {**found, "weight": WEIGHT} if weight else found


def table(pa, **options):
    """In two pieces, with the target between the inputs."""
    given = columns(**options)
    order = ["a", "target", *(name for name in given if name not in ("a", "target"))]
    whole = pa.table({name: given[name] for name in order})
    return pa.concat_tables([whole.slice(0, 40), whole.slice(40)])


def write(pa, folder, kind, n_files=3):
    """Files of a kind with the rows in order; returns what is given to fit."""
    folder.mkdir(exist_ok=True)
    whole = table(pa)
    if kind in ("parquet", "csv", "tsv", "csv.gz"):
        bounds = np.linspace(0, N, n_files + 1).astype(int)
        for i, (a, b) in enumerate(itertools.pairwise(bounds)):
            part, path = whole.slice(a, b - a), folder / f"part{i}.{kind}"
            if kind == "parquet":
                pytest.importorskip("pyarrow.parquet").write_table(part, path, row_group_size=13)
            else:
                text = part.to_pandas().to_csv(index=False, sep="\t" if kind == "tsv" else ",")
                path.write_bytes(gzip.compress(text.encode()) if kind == "csv.gz" else text.encode())
        return folder
    if kind == "dataset":
        import pyarrow.dataset

        return pyarrow.dataset.dataset(write(pa, folder, "parquet"), format="parquet")
    if kind == "scanner":
        return write(pa, folder, "dataset").scanner(batch_size=17)
    if kind == "stream":
        return Stream(whole)
    if kind == "batch":
        return whole.combine_chunks().to_batches()[0]
    if kind == "reader":
        return pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=7))
    return whole


# ---- asked for by number: as arrays ---------------------------------------------------------------------------


def test_sparse_matrices_train_with_the_bits_of_arrays(small_parts):
    dense = X * (X > 0)
    one, other = model(), model()
    expected = one.fit(dense, Y, SIZE, 3, 0, sample_weight=WEIGHT, validation_data=(dense[:30], Y[:30]))
    held = (scipy.sparse.coo_matrix(dense[:30]), Y[:30])
    history = other.fit(scipy.sparse.csr_matrix(dense), Y, SIZE, 3, 0, sample_weight=WEIGHT, validation_data=held)
    assert same_weights(one, other)
    assert curves(history) == curves(expected)
    for made in (scipy.sparse.csc_matrix, scipy.sparse.csr_array):
        assert other.evaluate(made(dense), Y) == one.evaluate(dense, Y)
        np.testing.assert_array_equal(other.predict(made(dense)), one.predict(dense))
    with pytest.raises(ValueError, match=f"x has {N} rows, y or sample_weight has 2"):
        other.fit(scipy.sparse.csr_matrix(dense), Y[:2], verbose=0)


def test_sparse_words_of_an_embedding(small_parts):
    words = RNG.integers(0, 5, (N, 6)) * (RNG.random((N, 6)) > 0.5)

    def made():
        found = fn.Sequential([fn.Input((6,)), fn.layers.Embedding(5, 3), fn.layers.Flatten(), fn.layers.Dense(1)], seed=1)
        found.compile("adam", "mse")
        return found

    one, other = made(), made()
    one.fit(words, Y, SIZE, 2, 0)
    other.fit(scipy.sparse.csr_matrix(words), Y, SIZE, 2, 0)
    assert same_weights(one, other)


@pytest.mark.parametrize("kind", ["float16", "int16", "columns first"])
def test_memory_maps_are_not_copied_as_a_whole(kind, tmp_path, small_parts, monkeypatch):
    array = np.asfortranarray(X) if kind == "columns first" else (X * 4).astype(kind)
    np.save(tmp_path / "x.npy", array)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one, other = model(), model()
    one.fit(np.array(array, order="C"), Y, SIZE, 2, 0)
    sizes, as_array = [], fn._data.as_array

    def watch(given, name):
        sizes.append(len(given))
        return as_array(given, name)

    monkeypatch.setattr(fn._data, "as_array", watch)
    other.fit(mapped, Y, SIZE, 2, 0)
    assert same_weights(one, other)
    assert max(sizes) == SIZE
    np.testing.assert_array_equal(other.predict(mapped), one.predict(np.array(array, order="C")))


def test_tables_of_arrow_train_with_the_bits_of_arrays(pa, small_parts):
    one, other = model(), model()
    held = (X[:30], Y[:30])
    expected = one.fit(X, Y[:, 0], SIZE, 3, 0, sample_weight=WEIGHT, validation_data=held, validation_batch_size=SIZE)
    history = other.fit(
        table(pa, weight=True), "target", SIZE, 3, 0, sample_weight="weight", validation_data=(table(pa).slice(0, 30), "target"),
        validation_batch_size=SIZE,
    )  # fmt: skip
    assert same_weights(one, other)
    assert curves(history) == curves(expected)
    assert other.evaluate(table(pa), "target") == one.evaluate(X, Y)
    whole = table(pa, weight=True).select(["weight", "c", "b", "target", "a"])  # those that it was trained with
    np.testing.assert_array_equal(other.predict(whole), one.predict(X))
    np.testing.assert_array_equal(other.predict(pd.DataFrame(columns())[["c", "b", "a"]]), one.predict(X))


def test_names_of_columns_for_several_inputs_and_outputs(pa, small_parts):
    a, b = fn.Input((2,), name="two"), fn.Input((1,), name="one")
    out = fn.layers.Concatenate()([a, b])
    outputs = [fn.layers.Dense(1, name="p")(out), fn.layers.Dense(2, name="q")(out)]
    one, other = (fn.Model([a, b], outputs, seed=0) for _ in range(2))
    for made in (one, other):
        made.compile("sgd", "mse")
    before = one.get_weights()
    one.fit({"two": X[:, [2, 0]], "one": X[:, 1]}, {"p": Y, "q": np.hstack([Y, WEIGHT[:, None]])}, SIZE, 2, 0)
    after = one.get_weights()
    one.set_weights(before)
    roles = {"columns": {"two": ["c", "a"], "one": "b"}, "batch_size": SIZE}
    other.seed = one.seed
    other.fit(Dataset(table(pa, weight=True), {"p": "target", "q": ["target", "weight"]}, **roles), epochs=2, verbose=0)
    for mine, expected in zip(other.get_weights(), after, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_targets_of_frames_by_the_names_of_their_columns(kind):
    library = pytest.importorskip(kind)
    frame = library.DataFrame({"target": Y[:, 0], **{name: X[:, i] for i, name in enumerate(NAMES)}, "weight": WEIGHT})
    one, other = model(), model()
    one.fit(X, Y, SIZE, 2, 0, sample_weight=WEIGHT)
    other.fit(frame, "target", SIZE, 2, 0, sample_weight="weight")
    assert same_weights(one, other)
    assert other.evaluate(frame, ["target"]) == one.evaluate(X, Y)
    with pytest.raises(ValueError, match="no column 'price'; there are 'target', 'a'"):
        other.fit(frame, "price", verbose=0)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_sets_of_frames(library):
    frame = pytest.importorskip(library).DataFrame(columns(weight=True))
    one, two = model(), model()
    one.fit(X, Y[:, 0], SIZE, 2, 0, sample_weight=WEIGHT)
    two.fit(Dataset(frame, "target", "weight", batch_size=SIZE), epochs=2, verbose=0)
    assert same_weights(one, two) and len(two.predict(frame)) == N
    one, two = model(n=2), model(n=2)
    one.fit(X[:, [2, 0]], Y, SIZE, 2, 0)
    two.fit(Dataset(frame, ["target"], columns=["c", "a"], batch_size=SIZE), epochs=2, verbose=0)
    assert same_weights(one, two)
    named = Dataset(frame, "target", columns={"x": ["b", "c"], "z": "a"}, batch_size=SIZE, shuffle=True, seed=0)
    rows = [(x["x"].to_numpy(), x["z"].to_numpy(), y.to_numpy()) for x, y in named]
    found, z, y = map(np.concatenate, zip(*rows))
    assert not np.array_equal(y, Y[:, 0])
    order, expected = np.argsort(y), np.argsort(Y[:, 0])
    np.testing.assert_array_equal(found[order], X[expected, 1:])
    np.testing.assert_array_equal(z[order], X[expected, 0])
    for given in ({"y": "wrong"}, {"y": "target", "columns": ["a", "wrong"]}, {"y": "target", "sample_weight": "wrong"}):
        with pytest.raises(ValueError, match="no column 'wrong'; there are 'a', 'b', 'c', 'target', 'weight'"):
            Dataset(frame, **given)


def test_a_query_of_polars_is_none_of_its_rows():
    query = type("LazyFrame", (), {"sink_parquet": None, "collect": None})()
    for call in (lambda: Dataset(query, "target"), lambda: model().fit(query, "target"), lambda: model().predict(query)):
        with pytest.raises(TypeError, match=r"a LazyFrame is a query: give its rows, x.collect\(\)"):
            call()


def test_tables_of_arrow_with_arrays_of_targets(pa, small_parts, tmp_path):
    one, other = model(), model()
    one.fit(X, Y, SIZE, 2, 0, sample_weight=WEIGHT)
    other.fit(table(pa).select(NAMES), Y, SIZE, 2, 0, sample_weight=WEIGHT)
    assert same_weights(one, other)
    assert other.evaluate(table(pa).select(NAMES), Y) == one.evaluate(X, Y)
    with pytest.raises(TypeError, match="y of files .* must be the names of columns, got ndarray"):
        other.fit(write(pa, tmp_path / "data", "csv"), Y, verbose=0)


def test_tables_of_arrow_with_a_column_for_each_input(pa, small_parts):
    towns = np.array(["Rome", "Bern", "Oslo"], object)[np.arange(N) % 3]
    whole = pa.table({"age": X[:, 0], "town": towns})

    def made():
        encoder = fn.utils.TableEncoder().fit(whole)
        out = fn.layers.Dense(1)(encoder.get_encoded_features())
        found = fn.Model(list(encoder.get_inputs().values()), out, seed=0)
        found.compile("adam", "mse")
        return found

    one, other = made(), made()
    one.fit({"age": X[:, 0], "town": towns}, Y, SIZE, 2, 0)
    other.fit(whole, Y, SIZE, 2, 0)
    assert same_weights(one, other)
    np.testing.assert_array_equal(other.predict(whole), one.predict({"age": X[:, 0], "town": towns}))


@pytest.mark.parametrize("kind", ["table", "parquet"])
def test_gaps_of_any_type_reach_what_takes_cells(kind, pa, tmp_path):
    """Whole numbers and booleans with gaps were an error, times with a zone and a unit below the microsecond whole numbers."""
    n = 40
    gap = np.arange(n) % 5 == 2
    cells = {
        "whole": pa.array(np.arange(n), mask=gap), "yes": pa.array(np.arange(n) % 3 == 0, mask=gap), "real": pa.array(np.arange(n) / 4, mask=gap),
        "when": pa.array(np.arange(n) * 10**15, pa.timestamp("ns", "Europe/Zurich"), mask=gap), "town": pa.array(np.where(np.arange(n) % 2, "a", "b"), mask=gap),
    }  # fmt: skip
    cells["code"] = cells["town"].dictionary_encode()
    whole = pa.table(cells)
    encoder = fn.utils.TableEncoder().fit(whole)
    kinds = {"whole": "number", "yes": "boolean", "real": "number", "when": "date", "town": "category", "code": "category"}
    assert encoder.recognised == kinds
    network = fn.Model(list(encoder.get_inputs().values()), encoder.get_encoded_features())
    expected, _ = encoder.transform(whole.to_pandas())
    given = whole
    if kind == "parquet":
        given = str(tmp_path / "table.parquet")
        pytest.importorskip("pyarrow.parquet").write_table(whole, given)
    np.testing.assert_allclose(network.predict(given, verbose=0), expected, atol=1e-6)


def test_columns_of_lists_are_rows_of_arrays(pa):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 3)
    whole = pa.table({"x": lists, "y": Y[:, 0]}).slice(1)
    (x, y), *_ = Dataset(whole, "y", batch_size=N)
    np.testing.assert_array_equal(x, X[1:])
    np.testing.assert_array_equal(y, Y[1:, 0])


# ---- in order -------------------------------------------------------------------------------------------------


ORDERED = ["parquet", "csv", "tsv", "csv.gz", "dataset", "scanner", "stream"]


class Stream:
    """A query, as of DuckDB: rows of Arrow, computed anew each time that they are asked for."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("kind", [*ORDERED, "reader", "table", "batch"])
def test_rows_that_are_not_shuffled_train_with_the_bits_of_arrays(kind, pa, tmp_path):
    one, other = model(), model()
    epochs = 1 if kind == "reader" else 3
    expected = one.fit(X, Y, SIZE, epochs, 0, shuffle=False, validation_data=(X, Y), validation_batch_size=SIZE)
    held = (write(pa, tmp_path / "held", "parquet"), "target")
    history = other.fit(
        write(pa, tmp_path / "data", kind), "target", SIZE, epochs, 0, shuffle=False, validation_data=held, validation_batch_size=SIZE
    )  # fmt: skip
    assert same_weights(one, other)
    assert curves(history) == curves(expected)
    np.testing.assert_array_equal(other.predict(write(pa, tmp_path / "more", kind)), one.predict(X))
    assert other.evaluate(write(pa, tmp_path / "more", kind), "target") == one.evaluate(X, Y)


@pytest.mark.parametrize("kind", ORDERED)
def test_the_order_is_a_function_of_the_seed_and_the_epoch(kind, pa, tmp_path):
    given = write(pa, tmp_path / "data", kind)

    def visited(seed, epochs=2):
        seen = []

        def note(x, y):
            seen.append(y)
            return x, y

        made = model(seed=seed)
        made.fit(Dataset(given, "target", batch_size=SIZE, buffer_size=40).map(note), epochs=epochs, verbose=0)
        found = np.concatenate(seen)
        assert len(seen) == epochs * -(-N // SIZE)
        return [found[i * N : (i + 1) * N] for i in range(epochs)], made

    (first, second), made = visited(1)
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch.astype("f")), np.sort(Y[:, 0]))
    assert (first != second).any() and (first != Y[:, 0]).any()
    (again, _), other = visited(1)
    np.testing.assert_array_equal(again, first)
    assert same_weights(made, other)
    assert (visited(2)[0][0] != first).any()


@pytest.mark.parametrize("kind", ["parquet", "csv", "table", "sparse", "mapped"])
@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("at", [3, 6, 11, 17])
def test_training_goes_on_with_the_same_bits(kind, steps, at, pa, tmp_path, small_parts, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda number: None)

    def train(last, resume_from=None):
        made = model(fn.optimizers.SGD(0.05, momentum=0.9))
        if kind == "sparse":
            data = Dataset(scipy.sparse.csr_matrix(X), Y, batch_size=SIZE)
        else:
            data = Dataset(
                write(pa, tmp_path / "data", "parquet" if kind == "mapped" else kind), "target", batch_size=SIZE, buffer_size=40
            )
        data = data.map(lambda x, y: (2 * x, y)) if kind == "mapped" else data
        checkpoint = TrainingCheckpoint(tmp_path / "training.safetensors", every_steps=1)
        history = made.fit(
            data, epochs=10 if steps else 3, steps_per_epoch=steps, verbose=0, callbacks=[checkpoint, InterruptAt(last)],
            resume_from=resume_from,
        )  # fmt: skip
        return made, history

    whole, expected = train(10**6)
    with pytest.raises(Interrupt):
        train(at)
    resumed, history = train(10**6, tmp_path / "training.safetensors")
    assert same_weights(whole, resumed)
    assert curves(history) == curves(expected)


def test_buffers_are_filled_again_when_nobody_has_them(pa, tmp_path, monkeypatch):
    given, made = write(pa, tmp_path / "data", "parquet"), []
    new = tables.Roles.new
    monkeypatch.setattr(tables.Roles, "new", lambda self, n: made.append(new(self, n)) or made[-1])
    held = Dataset(given, "target", batch_size=SIZE, buffer_size=SIZE)
    parts = list(held)  # all of them at the same time
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), X)
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), Y[:, 0])
    last, whole = [], []  # of each array only a part of it, some buffers later
    for x, y in Dataset(given, "target", batch_size=SIZE, buffer_size=SIZE).map(lambda x, y: (x, y[:, None])):
        last = [*last[-2:], (x[1:, :2], y[1:])]
        whole.append([part.copy() for part in last[0]])
    np.testing.assert_array_equal(
        np.concatenate([x for x, _ in whole[3:]]), np.concatenate([X[i + 1 : i + SIZE, :2] for i in range(SIZE, 90, SIZE)])
    )
    made.clear()
    for _ in range(3):
        for _ in Dataset(given, "target", batch_size=SIZE, buffer_size=SIZE):
            pass
    assert len(made) <= 3 * 3 if sys.implementation.name == "cpython" else made


def test_functions_over_batches():
    data = Dataset(X, Y, WEIGHT, batch_size=SIZE)
    doubled = data.map(lambda x, y, weight: (2 * x, y)).map(lambda x, y: (x + 1, -y))
    for (x, y, _), (mapped_x, mapped_y) in zip(data, doubled, strict=True):
        np.testing.assert_array_equal(mapped_x, 2 * x + 1)
        np.testing.assert_array_equal(mapped_y, -y)
    one, other = model(), model()
    one.fit(2 * X + 1, -Y, SIZE, 2, 0)
    other.fit(doubled, epochs=2, verbose=0)
    assert same_weights(one, other)
    with pytest.raises(ValueError, match="map must return"):
        list(data.map(lambda x, y, weight: ()))
    with pytest.raises(ZeroDivisionError):
        other.fit(data.map(lambda x, y, weight: (1 / 0, y)), verbose=0)
    shuffled = Dataset(X, batch_size=SIZE, shuffle=True, seed=3).map(lambda x: x)
    first, second = (np.concatenate(list(shuffled)) for _ in range(2))
    assert (first != second).any() and sorted(first[:, 0]) == sorted(X[:, 0])


# ---- what cannot be --------------------------------------------------------------------------------------------


def test_wrong_files_and_columns(pa, tmp_path):
    made = model()
    folder = write(pa, tmp_path / "data", "csv")
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.csv"):
        made.fit(tmp_path / "none.csv", "target", verbose=0)
    with pytest.raises(ValueError, match="no column 'price'; there are 'a', 'target'"):
        made.fit(folder, "price", verbose=0)
    with pytest.raises(ValueError, match="y is missing"):
        made.fit(Dataset(folder, columns=NAMES), verbose=0)
    (tmp_path / "text.csv").write_text("a,b,c,target\n1,2,oak,3\n")
    with pytest.raises(ValueError, match=r"column 'c' holds string, no numbers"):
        made.fit(tmp_path / "text.csv", "target", verbose=0)
    (tmp_path / "gap.csv").write_text("a,b,c,target\n1,2,3,4\n1,,3,4\n")
    with pytest.raises(ValueError, match=r"x holds nan in row 1, column 1 \('b'\)"):
        made.fit(tmp_path / "gap.csv", "target", verbose=0, shuffle=False)
    (tmp_path / "broken.csv").write_text("a,b,c,target\n1,2,3,4\n1,2,3\n")
    with pytest.raises(ValueError, match=r"broken\.csv.*Row #3: Expected 4 columns, got 3"):
        made.fit(tmp_path / "broken.csv", "target", verbose=0)
    (tmp_path / "other.txt").write_text("1")
    with pytest.raises(ValueError, match="neither a Parquet nor a CSV file"):
        made.fit(tmp_path / "other.txt", "target", verbose=0)
    with pytest.raises(ValueError, match="has no rows"):
        made.fit(_empty(pa, tmp_path), "target", verbose=0)
    reader = write(pa, tmp_path / "x", "reader")
    with pytest.warns(UserWarning, match="no more batches: training ends after 1 of 3"):
        made.fit(reader, "target", epochs=3, verbose=0)
    for wrong in ({"batch_size": 0}, {"buffer_size": 1.5}, {"columns": ["a"]}):
        with pytest.raises(ValueError, match=f"Dataset: {next(iter(wrong))}"):
            Dataset(X, **wrong)


def _empty(pa, folder):
    import pyarrow.parquet

    pyarrow.parquet.write_table(table(pa).slice(0, 0), folder / "empty.parquet")
    return folder / "empty.parquet"


def test_numbers_of_other_types_in_later_files(pa, tmp_path):
    """Whole numbers in the first file alone are no reason to cut off what follows the point in the next."""
    import pyarrow.dataset
    import pyarrow.parquet as parquet

    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    parquet.write_table(pa.table({"a": [1, 2], "b": pa.array([1, 2], "int8"), "target": [0, 1]}), first)
    parquet.write_table(pa.table({"more": ["u"], "target": [0.25], "b": [300], "a": [2.5]}), second)
    ((x, y),) = Dataset([first, second], "target", batch_size=9)
    assert x.tolist() == [[1, 1], [2, 2], [2.5, 300]] and y.tolist() == [0, 1, 0.25]
    text, short = tmp_path / "text.parquet", tmp_path / "short.parquet"
    parquet.write_table(pa.table({"a": ["u"], "b": [1], "target": [0]}), text)
    parquet.write_table(pa.table({"a": [1], "target": [0]}), short)
    with pytest.raises(ValueError, match=r"text.parquet: column 'a' holds string, in files before it int64"):
        list(Dataset([first, text], "target"))
    with pytest.raises(ValueError, match=r"short.parquet has no column 'b'; there are 'a', 'target'"):
        list(Dataset([first, short], "target"))
    with pytest.raises(ValueError, match=r"2.parquet: .*truncated"):
        list(Dataset(pyarrow.dataset.dataset([str(first), str(second)]), "target"))


def test_damaged_files_are_named(pa, tmp_path):
    """Those after the first, too, that have no end, or pages that do not unpack."""
    import pyarrow.parquet as parquet

    good, cut, damaged = (tmp_path / f"{name}.parquet" for name in ("good", "cut", "damaged"))
    parquet.write_table(table(pa), good, compression="snappy", use_dictionary=False)
    whole = good.read_bytes()
    cut.write_bytes(whole[:100])
    damaged.write_bytes(whole[:20] + bytes(300) + whole[320:])
    with pytest.raises(ValueError, match="cut.parquet: Parquet magic bytes not found"):
        list(Dataset([good, cut], "target"))
    with pytest.raises(OSError, match="damaged.parquet: "):
        list(Dataset([good, damaged], "target"))


def test_without_pyarrow(tmp_path, monkeypatch):
    import sys

    for module in ("pyarrow", "pyarrow.csv"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImportError, match="fastnet-engine\\[data"):
        model().fit(tmp_path / "x.csv", "b", verbose=0)


def test_what_is_rows_of_its_own():
    assert not dataset.needs_source([[1.0]]) and not dataset.needs_source(X) and not dataset.needs_source({"a": X})
    assert dataset.needs_source("x.csv") and dataset.needs_source(scipy.sparse.csr_matrix(X))
