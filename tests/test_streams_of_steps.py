"""Steps of the user's, `TrainStep` and classes with a `train_step`, with data that come batch by batch: as with their arrays."""

import numpy as np
import pytest
from networks import same_weights
from test_streams import EXTRA, KINDS, SIZE, STEPS, Batches, Interrupt, InterruptAt, Loader, X, Y, curves, generate

import fastnet as fn
from fastnet import ops
from fastnet.callbacks import LambdaCallback, TrainingCheckpoint
from fastnet.data import Dataset

WEIGHT = np.random.default_rng(2).uniform(0.5, 2, len(X))
NAMES = ["a", "b", "c"]


def two_updates():
    """A critic that learns every other batch how wrong a network is, which has dropout and an optimizer that accumulates."""
    layers = fn.layers
    net = fn.Sequential([fn.Input((3,)), layers.Dense(8, "tanh"), layers.Dropout(0.3), layers.Dense(1)], seed=0, dtype="float64")
    critic = fn.Sequential([fn.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(1)], seed=1, dtype="float64")

    def function(x, y):
        wrong = ops.square(net(x) - y)
        guess = critic(ops.concatenate([x, y], axis=-1))
        return {"net": (wrong, net), "critic": (ops.square(guess - ops.stop_gradient(wrong)), critic)}

    step = fn.TrainStep(function, [(3,), (1,)], seed=2)
    net_optimizer = fn.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2)
    step.compile({"net": net_optimizer, "critic": fn.optimizers.Adam(0.02)}, every={"critic": 2})
    return step


class Own(fn.Model):
    """As without a `train_step`, with two metrics; the rows may have weights."""

    def __init__(self):
        super().__init__(seed=3, dtype="float64")
        self.hidden, self.drop, self.last = fn.layers.Dense(6, "tanh"), fn.layers.Dropout(0.2), fn.layers.Dense(1)
        self.error, self.largest = fn.metrics.MeanAbsoluteError(name="error"), Largest(name="largest")

    def call(self, x, training=None):
        return self.last(self.drop(self.hidden(x), training=training))

    def train_step(self, data):
        x, y, weight = (*data, None)[:3]
        with fn.GradientTape() as tape:
            y_pred = self(x, training=True)
            square = ops.square(y - y_pred)
            loss = ops.mean(square if weight is None else square * ops.reshape(weight, (-1, 1)))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.error.update_state(y, y_pred)
        self.largest.update_state(loss)
        return {"loss": loss, "error": self.error.result(), "largest": self.largest.result()}


class OwnBoth(Own):
    """With a `test_step`, too."""

    def test_step(self, data):
        x, y = data[:2]
        y_pred = self(x, training=False)
        self.error.update_state(y, y_pred)
        self.largest.update_state(ops.mean(ops.square(y - y_pred)))
        return {"error": self.error.result(), "largest": self.largest.result()}


class Largest(fn.metrics.Metric):
    """Of the batches: no sum, so that it is called for each."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_weight(name="value")

    def update_state(self, value):
        self.value.assign(np.maximum(self.value, value))

    def result(self):
        return self.value


def own(kind=Own):
    model = kind()
    model.compile(fn.optimizers.Adam(0.02), "mse")
    return model


MADE = {"TrainStep": two_updates, "train_step": own, "train_step and test_step": lambda: own(OwnBoth)}


def arrays(made, *parts):
    """The arguments of fit and evaluate for these arrays."""
    return {"x": list(parts)} if isinstance(made, fn.TrainStep) else dict(zip(("x", "y", "sample_weight"), parts))


def held(made, *parts):
    return list(parts) if isinstance(made, fn.TrainStep) else parts


def close(found, expected):
    """Curves, whose sums may have been taken over more batches at once."""
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", MADE)
def test_training_with_batches_is_training_with_their_arrays(kind, case):
    one, other = MADE[case](), MADE[case]()
    options = {"epochs": 3, "verbose": 0, "shuffle": False, "validation_batch_size": SIZE}
    expected = one.fit(**arrays(one, X, Y), batch_size=SIZE, validation_data=held(one, X[:25], Y[:25]), **options)
    more = EXTRA.get(kind, {})
    given = generate(X[:25], Y[:25]) if kind == "generator" else KINDS[kind](X[:25], Y[:25])
    options["validation_steps"] = 3 if kind == "generator" else None
    history = other.fit(KINDS[kind](X, Y), validation_data=given, **options, **more)
    assert same_weights(one, other)
    close(curves(history), curves(expected))
    steps = {"steps": STEPS} if kind == "generator" else {}
    found = other.evaluate(KINDS[kind](X, Y), **steps)
    np.testing.assert_allclose(found, one.evaluate(**arrays(one, X, Y), batch_size=SIZE), rtol=1e-12)
    if case == "TrainStep":
        for a, b in zip(other.predict(KINDS[kind](X, Y), **steps), one.predict([X, Y]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("case", MADE)
def test_a_batch_is_a_call_of_train_on_batch(case):
    """Of any size, and by whatever comes of the epochs between."""
    one, other = MADE[case](), MADE[case]()
    bounds = [(0, 7), (7, 8), (8, 30), (30, 46)]
    for a, b in bounds + bounds[:2]:
        parts = X[a:b], Y[a:b]
        one.train_on_batch(*([list(parts)] if case == "TrainStep" else parts))
    batches = ((X[a:b], Y[a:b]) for a, b in bounds * 2)
    other.fit(batches, epochs=2, steps_per_epoch=3, verbose=0)
    assert same_weights(one, other)


@pytest.mark.parametrize("case", MADE)
def test_numbered_batches_are_shuffled_by_seed_and_epoch(case):
    def visited(seed):
        made = MADE[case]()
        made.seed = seed
        data = Batches(X, Y)
        made.fit(data, epochs=2, verbose=0)
        return [one for one in data.calls if one != "end"], made

    (calls, one), (again, other), (third, _) = visited(5), visited(5), visited(6)
    assert calls == again and calls != third and calls[:STEPS] != calls[STEPS:]
    assert sorted(calls[:STEPS]) == sorted(calls[STEPS:]) == list(range(STEPS))
    assert same_weights(one, other)
    one_by_one = MADE[case]()
    one_by_one.seed = 5
    for i in calls:
        parts = X[SIZE * i : SIZE * (i + 1)], Y[SIZE * i : SIZE * (i + 1)]
        one_by_one.train_on_batch(*([list(parts)] if case == "TrainStep" else parts))
    assert same_weights(one, one_by_one)


@pytest.mark.parametrize("kind", ["PyDataset", "loader", "generator"])
def test_weights_of_rows_and_classes(kind):
    labels = (Y[:, 0] > 0).astype("int32")
    one, other = own(), own()
    weights = {0: 0.5, 1: 2.0}
    expected = one.fit(X, labels[:, None], SIZE, 2, 0, shuffle=False, sample_weight=WEIGHT, class_weight=weights)
    more = EXTRA.get(kind, {})
    given = KINDS[kind](X, labels[:, None].astype("float64"), WEIGHT)
    history = other.fit(given, epochs=2, verbose=0, shuffle=False, class_weight=weights, **more)
    assert same_weights(one, other)
    close(curves(history), curves(expected))
    plain = own()
    plain.fit(X, labels[:, None], SIZE, 2, 0, shuffle=False)
    assert not same_weights(one, plain)


@pytest.mark.parametrize("form", ["list", "tuple", "dict", "nested"])
def test_inputs_of_a_step_in_batches(form):
    """Any number of them: a batch has no targets."""
    parts = {"a": X, "b": Y, "c": WEIGHT[:, None], "d": X[:, :2]}

    def make():
        net = fn.Sequential([fn.Input((7,)), fn.layers.Dense(1)], seed=0, dtype="float64")
        joined = lambda a, b, c, d: ops.concatenate([a, b, c, d], axis=-1)
        step = fn.TrainStep(
            lambda a, b, c, d: {"net": (ops.square(net(joined(a, b, c, d))), net)}, [(3,), (1,), (1,), (2,)], seed=0
        )
        step.compile("adam")
        return step

    def batches():
        for i in range(0, len(X), SIZE):
            a, b, c, d = rows = [part[i : i + SIZE] for part in parts.values()]
            yield {"list": rows, "tuple": tuple(rows), "dict": dict(zip(parts, rows)), "nested": ([a, b], (c, d))}[form]

    one, other = make(), make()
    one.fit(list(parts.values()), batch_size=SIZE, shuffle=False, verbose=0)
    other.fit(batches(), steps_per_epoch=STEPS, verbose=0)
    assert same_weights(one, other)
    with pytest.raises(ValueError, match="expected a list of 4 arrays"):
        other.fit(Loader(), verbose=0)


def test_a_step_of_one_input():
    def make():
        net = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0, dtype="float64")
        step = fn.TrainStep(lambda x: {"net": (ops.square(net(x)), net)}, [(3,)], seed=0)
        step.compile("adam")
        return step

    one, other, third = make(), make(), make()
    one.fit(X, batch_size=SIZE, shuffle=False, verbose=0)
    other.fit(Loader(X), shuffle=False, verbose=0)
    third.fit((X[i : i + SIZE] for i in range(0, len(X), SIZE)), steps_per_epoch=STEPS, verbose=0)
    assert same_weights(one, other) and same_weights(one, third)
    with pytest.raises(ValueError, match=r"expected one array \(x\), got 2"):
        other.fit(Loader(), verbose=0)


# ---- rows of files ----------------------------------------------------------------------------------------


def write(folder):
    """Parquet files of some row groups with the rows in order."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder.mkdir(exist_ok=True)
    whole = pa.table({**dict(zip(NAMES, X.T)), "target": Y[:, 0]})
    for i, (a, b) in enumerate(((0, 20), (20, 46))):
        parquet.write_table(whole.slice(a, b - a), folder / f"part{i}.parquet", row_group_size=7)
    return folder


def rows_of_files(folder):
    return Dataset(write(folder), "target", columns=NAMES, batch_size=SIZE, buffer_size=20)


@pytest.mark.parametrize("case", MADE)
def test_files_train_with_the_bits_of_arrays(case, tmp_path):
    one, other, third = MADE[case](), MADE[case](), MADE[case]()
    options = {"epochs": 2, "verbose": 0, "shuffle": False, "validation_batch_size": SIZE}
    expected = one.fit(**arrays(one, X, Y), batch_size=SIZE, validation_data=held(one, X, Y), **options)
    history = other.fit(rows_of_files(tmp_path / "data"), validation_data=rows_of_files(tmp_path / "data"), **options)
    assert same_weights(one, other)
    close(curves(history), curves(expected))
    if case != "TrainStep":
        third.fit(write(tmp_path / "data"), "target", batch_size=SIZE, epochs=2, verbose=0, shuffle=False)
        assert same_weights(one, third)
    np.testing.assert_allclose(
        other.evaluate(rows_of_files(tmp_path / "data")), one.evaluate(**arrays(one, X, Y), batch_size=SIZE)
    )


@pytest.mark.parametrize("case", MADE)
def test_rows_of_files_are_shuffled(case, tmp_path):
    def train(seed):
        made, seen = MADE[case](), []
        made.seed = seed
        made.fit(rows_of_files(tmp_path / "data").map(lambda x, y: (seen.append(y), (x, y))[1]), epochs=2, verbose=0)
        return np.concatenate(seen), made

    (seen, one), (again, other), (third, _) = train(1), train(1), train(2)
    assert same_weights(one, other)
    np.testing.assert_array_equal(seen, again)
    first, second = seen[: len(X)], seen[len(X) :]
    np.testing.assert_array_equal(np.sort(first), np.sort(Y[:, 0]))
    np.testing.assert_array_equal(np.sort(second), np.sort(Y[:, 0]))
    assert (first != second).any() and (seen != third).any()


@pytest.mark.parametrize("case", MADE)
def test_data_sets_of_arrays(case):
    one, other, mapped = MADE[case](), MADE[case](), MADE[case]()
    one.fit(**arrays(one, X, Y), batch_size=SIZE, epochs=2, verbose=0)
    other.fit(Dataset(X, Y, batch_size=SIZE), epochs=2, verbose=0)
    mapped.fit(Dataset(X / 2, Y, batch_size=SIZE).map(lambda x, y: (2 * x, y)), epochs=2, verbose=0)
    assert same_weights(one, other) and same_weights(one, mapped)
    if case == "TrainStep":
        for a, b in zip(one.predict(Dataset(X, Y)), one.predict([X, Y]), strict=True):
            np.testing.assert_array_equal(a, b)


# ---- checkpoints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize("kind", ["PyDataset", "loader", "generator", "files"])
@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("at", [3, 8])
def test_training_goes_on_with_the_same_bits(case, kind, steps, at, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda number: None)

    def train(last, resume_from=None):
        made = MADE[case]()
        more = {**EXTRA.get(kind, {}), **({} if steps is None else {"steps_per_epoch": steps})}
        checkpoint = TrainingCheckpoint(tmp_path / "training.safetensors", every_steps=1)
        data = rows_of_files(tmp_path / "data") if kind == "files" else KINDS[kind](X, Y)
        history = made.fit(
            data, epochs=5, verbose=0, validation_data=generate(X[:30], Y[:30]), validation_steps=1,
            callbacks=[checkpoint, InterruptAt(last)], resume_from=resume_from, **more,
        )  # fmt: skip
        return made, history

    whole, expected = train(10**6)
    with pytest.raises(Interrupt):
        train(at)
    resumed, history = train(10**6, tmp_path / "training.safetensors")
    assert same_weights(whole, resumed)
    close(curves(history), curves(expected))


# ---- what cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MADE)
def test_arguments_that_do_not_go_with_batches(case):
    made = MADE[case]()
    before = made.get_weights() if case == "TrainStep" else None
    for more, words in (
        ({"batch_size": 3}, "its own batch_size"),
        ({"validation_split": 0.5}, "validation_data"),
        ({"epochs": 0}, "epochs"),
    ):
        with pytest.raises(ValueError, match=words):
            made.fit(Loader(), verbose=0, **more)
    for data in (Batches(X[:0], Y[:0]), iter([])):
        with pytest.raises(ValueError, match="no batches"):
            made.fit(data, steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="give steps_per_epoch"):
        made.fit(generate(), verbose=0)
    with pytest.raises(ValueError, match="give validation_steps"):
        made.fit(Loader(), validation_data=generate(), verbose=0)
    with pytest.raises(ValueError, match="give steps"):
        made.evaluate(generate())
    if case != "TrainStep":
        for more, words in (({"y": Y}, "its own y"), ({"class_weight": "balanced"}, "balanced"), ({"mixup": 0.1}, "mixup")):
            with pytest.raises(ValueError, match=words):
                made.fit(Loader(), verbose=0, **more)
    if before is not None:
        assert same_weights(before, made.get_weights())


@pytest.mark.parametrize("case", MADE)
def test_bad_batches(case):
    def batches(x, y=Y[:SIZE]):
        yield X[:SIZE], Y[:SIZE]
        yield x, y

    for x, words in (
        (X[:SIZE] * np.nan, "holds nan in row 0, column 0"),
        (X[:SIZE, :2], r"shape (\(10, 2\)|\[\('n', 2\), \('n', 1\)\])"),
    ):
        made = MADE[case]()
        with pytest.raises(ValueError, match=words):
            made.fit(batches(x), steps_per_epoch=2, verbose=0)
        assert made._epochs_begun == 1
    with pytest.raises(ZeroDivisionError):
        MADE[case]().fit(((X[:SIZE], Y[:SIZE]) if i < 3 else 1 / 0 for i in range(5)), steps_per_epoch=5, verbose=0)


def test_hooks_and_stopping():
    made, seen = own(OwnBoth), []
    note = LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch),
        on_test_batch_end=lambda batch, logs: seen.append(sorted(logs)),
        on_epoch_end=lambda epoch, logs: setattr(made, "stop_training", True),
    )
    made.fit(Loader(), epochs=5, verbose=0, callbacks=[note], validation_data=Loader(X[:20], Y[:20]))
    assert seen == [*range(STEPS), ["error", "largest"], ["error", "largest"]]
    stopping = LambdaCallback(on_test_batch_end=lambda batch, logs: setattr(made, "stop_evaluating", batch == 1))
    found = made.evaluate(Loader(), callbacks=[stopping])
    np.testing.assert_allclose(found, made.evaluate(X[: 2 * SIZE], Y[: 2 * SIZE], SIZE), rtol=1e-12)
    step = two_updates()
    stopping = LambdaCallback(on_test_batch_end=lambda batch, logs: setattr(step, "stop_evaluating", batch == 1))
    found = step.evaluate(Loader(), callbacks=[stopping])
    np.testing.assert_allclose(found, step.evaluate([X[: 2 * SIZE], Y[: 2 * SIZE]]), rtol=1e-12)


def test_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    for make in MADE.values():
        one, other = make(), make()
        one.fit(**arrays(one, X, Y), batch_size=SIZE, epochs=2, verbose=0, shuffle=False)
        other.fit(torch.utils.data.DataLoader(data, SIZE), epochs=2, verbose=0)
        assert same_weights(one, other)
