"""`validation_split` and ``class_weight="balanced"`` with data that come batch by batch: as with their arrays, or a clear error."""

import numpy as np
import pytest
import scipy.sparse
from networks import rejects, same_weights

import fastnet as fn
from fastnet import layers

N, COLUMNS, HELD = 83, 40, 0.3
RNG = np.random.default_rng(0)
X = np.where(RNG.random((N, COLUMNS)) < 0.06, RNG.normal(size=(N, COLUMNS)), 0.0)
Y = np.where(np.arange(N) < 60, RNG.choice(3, N, p=[0.7, 0.2, 0.1]), 2)  # another mixture of classes among those held out
WEIGHT = RNG.uniform(0.5, 2, N)


def model(**options):
    found = fn.Sequential([fn.Input((COLUMNS,)), layers.Dense(5, "tanh"), layers.Dense(3)], seed=0, dtype="float64")
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    found.compile("adam", loss, metrics=["accuracy"], **options)
    return found


def curves(history):
    return {name: values for name, values in history.history.items() if name != "seconds"}


def arrow():
    pa = pytest.importorskip("pyarrow")
    return pa.table({**{f"x{i:02}": column for i, column in enumerate(X.T)}, "y": Y, "weight": WEIGHT})


def parquet(path, size=20):
    """Of row groups that the rows held out begin within."""
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(arrow(), path / "rows.parquet", row_group_size=size)
    return path / "rows.parquet"


def memory_map(path):
    """Of numbers that are converted as they are read."""
    np.save(path / "x.npy", X.astype(np.float16))
    return np.load(path / "x.npy", mmap_mode="r")


def given(kind, path):
    """x, y and weights of rows."""
    made = {
        "matrix": lambda: (scipy.sparse.csr_array(X), Y, WEIGHT),
        "full matrix": lambda: (scipy.sparse.csc_matrix(np.where(X, X, 0.5)), Y.tolist(), WEIGHT),
        "map": lambda: (memory_map(path), Y, WEIGHT),
        "table": lambda: (arrow(), "y", "weight"),
        "files": lambda: (parquet(path), "y", "weight"),
        "data set": lambda: (
            fn.data.Dataset(scipy.sparse.csr_array(X), Y, WEIGHT, batch_size=10).map(lambda *rows: rows),
            None,
            None,
        ),
    }
    return made[kind]()


def of_arrays(kind):
    return {"full matrix": np.where(X, X, 0.5), "map": X.astype(np.float16).astype(np.float64)}.get(kind, X)


KINDS = ["matrix", "full matrix", "map", "table", "files", "data set"]


@pytest.mark.parametrize(
    "options", [{}, {"class_weight": "balanced"}, {"validation_steps": 2}, {"validation_batch_size": 7}], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_as_of_arrays(kind, options, tmp_path):
    x, y, weight = given(kind, tmp_path)
    common = {"epochs": 3, "verbose": 0, "validation_split": HELD, "shuffle": kind != "files", **options}
    found, expected = model(), model()
    own = {} if kind == "data set" else {"batch_size": 10}
    got = curves(found.fit(x, y, sample_weight=weight, **own, **common))
    wanted = curves(expected.fit(of_arrays(kind), Y, sample_weight=WEIGHT, batch_size=10, **common))
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert list(got) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("size", [7, 58, 83, 1000])
def test_files_are_divided_within_row_groups(size, tmp_path):
    from fastnet.data.tables import open_table

    source = open_table(parquet(tmp_path, size), "y", None, None, 10, None, None)
    at = 58
    for part, rows in zip(source.divided(at), (slice(0, at), slice(at, None))):
        read = np.concatenate([batch.y for batch in part.batches(0, None, 0, 0)])
        np.testing.assert_array_equal(read, Y[rows])
        assert part.n_rows == len(Y[rows]) and part.n_batches == -(-part.n_rows // 10)
        shuffled = np.concatenate(
            [batch.y if batch.order is None else batch.y[batch.order] for batch in part.batches(3, 5, 0, 0)]
        )
        np.testing.assert_array_equal(np.sort(shuffled), np.sort(Y[rows]))
        first, rest = part.divided(5)
        assert (first.n_rows, rest.n_rows) == (5, part.n_rows - 5)
        np.testing.assert_array_equal(np.concatenate([batch.y for batch in rest.batches(0, None, 0, 0)]), Y[rows][5:])


class Batches(fn.data.PyDataset):
    def __init__(self, y=Y):
        super().__init__()
        self.y, self.calls = y, []

    def __len__(self):
        return 9

    def __getitem__(self, i):
        rows = slice(10 * i, 10 * i + 10)
        return X[rows], self.y[rows], WEIGHT[rows]

    def on_epoch_end(self):
        self.calls.append("end")


def csv(path):
    pytest.importorskip("pyarrow")
    names = ",".join([*(f"x{i:02}" for i in range(COLUMNS)), "y", "weight"])
    np.savetxt(path / "rows.csv", np.column_stack([X, Y, WEIGHT]), "%.17g", ",", header=names, comments="")
    return path / "rows.csv"


def balanced():
    """By the formula of scikit-learn."""
    return {c: N / (3 * (c == Y).sum()) for c in range(3)}


@pytest.mark.parametrize("kind", [*KINDS, "batches", "list of batches", "one-hot", "file of text"])
def test_classes_are_counted_before(kind, tmp_path):
    other = {
        "batches": lambda: (Batches(), None, None),
        "list of batches": lambda: (Reread(), None, None),
        "one-hot": lambda: (Batches(np.eye(3)[Y]), None, None),
        "file of text": lambda: (csv(tmp_path), "y", "weight"),
    }
    x, y, weight = other[kind]() if kind in other else given(kind, tmp_path)
    found, expected = model(), model()
    if kind == "one-hot":
        for one in (found, expected):
            one.compile("adam", fn.losses.CategoricalCrossentropy(from_logits=True))
    own = {} if kind in ("data set", "batches", "list of batches", "one-hot") else {"batch_size": 10}
    options = {"epochs": 2, "verbose": 0, "sample_weight": weight, **own}
    found.fit(x, y, class_weight="balanced", **options)
    expected.fit(x, y, class_weight=balanced(), **options)
    assert same_weights(found, expected)
    if kind == "batches":
        assert x.calls == ["end"] * 4  # counting is no epoch


class Reread:
    def __iter__(self):
        return (Batches()[i] for i in range(9))


def test_a_step_of_ones_own():
    class Own(fn.Model):
        def train_step(self, data):
            return super().train_step(data)

    def made(base):
        rows = fn.Input((COLUMNS,))
        found = base(rows, layers.Dense(3)(rows), seed=0, dtype="float64")
        found.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        return found

    options = {"epochs": 2, "verbose": 0, "batch_size": 10, "validation_split": HELD, "class_weight": "balanced"}
    found, expected = made(Own), made(fn.Model)
    got, wanted = found.fit(scipy.sparse.csr_array(X), Y, **options), expected.fit(scipy.sparse.csr_array(X), Y, **options)
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.history["val_loss"], wanted.history["val_loss"], rtol=1e-9)


def generator():
    while True:
        yield X, Y


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (lambda path: Batches(), {"validation_split": 0.2}, ["validation_split", "Batches", "its own", "validation_data"]),
        (lambda path: generator(), {"validation_split": 0.2}, ["validation_split", "generator", "validation_data"]),
        (lambda path: csv(path), {"validation_split": 0.2, "y": "y"}, ["validation_split", "not counted", "validation_data"]),
        (lambda path: generator(), {"class_weight": "balanced"}, ["balanced", "generator", "read once", "dictionary"]),
        (lambda path: scipy.sparse.csr_array(X), {"validation_split": 1.0, "y": Y}, ["validation_split", "1.0"]),
        (lambda path: scipy.sparse.csr_array(X), {"validation_split": 0.999, "y": Y}, ["0.999 of 83 rows"]),
        (lambda path: scipy.sparse.csr_array(X), {"class_weight": "equal", "y": Y}, ["class_weight", "'equal'"]),
        (lambda path: scipy.sparse.csr_array(X), {"class_weight": "balanced", "y": Y + 0.5}, ["class numbers", "0.5"]),
        (lambda path: scipy.sparse.csr_array(X), {"class_weight": "balanced"}, ["class_weight needs targets"]),
    ],
)
def test_what_cannot_be_is_an_error(x, options, words, tmp_path):
    found = model()
    options = {"verbose": 0, **options}
    if "generator" in words:
        options["steps_per_epoch"] = 2
    with rejects(found, (ValueError, TypeError), *words):
        found.fit(x(tmp_path), **options)


def test_validation_data_come_before_the_split():
    found, expected = model(), model()
    held = X[:10], Y[:10]
    got = found.fit(scipy.sparse.csr_array(X), Y, validation_data=held, validation_split=0.5, verbose=0)
    wanted = expected.fit(scipy.sparse.csr_array(X), Y, validation_data=held, verbose=0)
    assert same_weights(found, expected) and got.history["val_loss"] == wanted.history["val_loss"]


def test_training_goes_on_at_a_checkpoint(tmp_path):
    x, path = scipy.sparse.csr_array(X), tmp_path / "state.safetensors"
    whole, first, rest = model(), model(), model()
    options = {"batch_size": 10, "verbose": 0, "validation_split": HELD, "class_weight": "balanced"}
    wanted = whole.fit(x, Y, epochs=4, **options)
    first.fit(x, Y, epochs=2, callbacks=[fn.callbacks.TrainingCheckpoint(path)], **options)
    got = rest.fit(x, Y, epochs=4, resume_from=path, callbacks=[fn.callbacks.TrainingCheckpoint(path)], **options)
    assert same_weights(whole, rest) and got.history["val_loss"] == wanted.history["val_loss"]
