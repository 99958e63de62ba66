"""Data that come batch by batch: training with them is training with their arrays, and what they raise is raised by fit."""

import itertools
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from networks import same_weights

import fastnet as fn
from fastnet import ops
from fastnet.callbacks import LambdaCallback, TrainingCheckpoint

N, SIZE = 46, 10
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)), RNG.normal(size=(N, 1))
WEIGHT = RNG.uniform(0.5, 2, N)
STEPS = -(-N // SIZE)


class Batches(fn.data.PyDataset):
    """Numbered batches, which note what is asked of them."""

    def __init__(self, *parts, size=SIZE, x=None):
        super().__init__()
        self.parts, self.size, self.calls = parts or (X, Y), size, []

    def __len__(self):
        return -(-len(self.parts[0]) // self.size)

    def __getitem__(self, i):
        self.calls.append(i)
        if i >= len(self):
            raise AssertionError(f"there is no batch {i}")
        return tuple(part[self.size * i : self.size * (i + 1)] for part in self.parts)

    def on_epoch_end(self):
        self.calls.append("end")


class Duck:
    """As PyDataset, and of no class of fastnet."""

    def __init__(self, *parts):
        self.batches = Batches(*parts)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        return self.batches[i]


class Loader:
    """As torch.utils.data.DataLoader, which gives lists."""

    def __init__(self, *parts):
        self.batches = Batches(*parts)

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return (list(self.batches[i]) for i in range(len(self)))


class Unknown:
    """As a tf.data.Dataset of unknown length, or of none."""

    def __init__(self, *parts, cardinality=-2):
        self.batches, self.n = Batches(*parts), cardinality

    def __len__(self):
        raise TypeError("the length is unknown")

    def cardinality(self):
        return np.int64(self.n)

    def __iter__(self):
        return (self.batches[i] for i in range(len(self.batches)))


def generate(*parts):
    """One array for each part, which is written to again and again."""
    batches = Batches(*parts)
    held = [np.empty((SIZE, *part.shape[1:])) for part in batches.parts]
    while True:
        for i in range(len(batches)):
            given = batches[i]
            for one, other in zip(held, given):
                one[: len(other)] = other
            yield tuple(one[: len(given[0])] for one in held)


KINDS = {"PyDataset": Batches, "len and items": Duck, "loader": Loader, "unknown length": Unknown, "generator": generate}
EXTRA = {"generator": {"steps_per_epoch": STEPS}}


def model(optimizer="adam", loss="mse", seed=1, **options):
    made = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)], seed=seed, dtype="float64")
    made.compile(optimizer, loss, **{"metrics": ["mae"], **options})
    return made


def curves(history):
    return {name: values for name, values in history.history.items() if name != "seconds"}


def two_inputs():
    a, b = fn.Input((3,), name="a"), fn.Input((1,), name="b")
    hidden = fn.layers.Dense(4, "tanh")(fn.layers.Concatenate()([a, b]))
    made = fn.Model([a, b], [fn.layers.Dense(1, name="p")(hidden), fn.layers.Dense(1, name="q")(hidden)], seed=1, dtype="float64")
    made.compile("adam", {"p": "mse", "q": "mae"}, metrics={"p": ["mae"]})
    return made


def mean_square(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def own_loss(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2), 2 * (y_pred - y_true) / y_pred.size


class OwnMetric(fn.metrics.Metric):
    """Called with the arrays of each batch."""

    def __init__(self, name="own", **options):
        super().__init__(name=name, **options)
        self.values = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.values.append(float(np.abs(np.asarray(y_true) - np.asarray(y_pred)).max()))

    def result(self):
        return sum(self.values)

    def reset_state(self):
        self.values = []


MODELS = {
    "engine": model,
    "a schedule": lambda: model(fn.optimizers.SGD(fn.schedules.ExponentialDecay(0.1, 3, 0.9), momentum=0.9)),
    "accumulation": lambda: model(fn.optimizers.SGD(0.1, gradient_accumulation_steps=3)),
    "an average": lambda: model(fn.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)),
    "a loss in ops": lambda: model(loss=mean_square),
    "a loss of arrays": lambda: model(loss=own_loss),
}


# ---- as with arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", MODELS)
def test_training_with_batches_is_training_with_their_arrays(kind, made):
    one, other = MODELS[made](), MODELS[made]()
    expected = one.fit(
        X, Y, SIZE, epochs=3, verbose=0, shuffle=False, validation_data=(X[:20], Y[:20]), validation_batch_size=SIZE
    )
    data = KINDS[kind](X, Y)
    history = other.fit(data, epochs=3, verbose=0, shuffle=False, validation_data=Batches(X[:20], Y[:20]), **EXTRA.get(kind, {}))
    assert same_weights(one, other)
    assert curves(history) == curves(expected)
    assert other.optimizer.iterations == one.optimizer.iterations
    steps = {"steps": STEPS} if kind == "generator" else {}
    assert other.evaluate(KINDS[kind](X, Y), **steps) == one.evaluate(X, Y, SIZE)
    np.testing.assert_array_equal(other.predict(KINDS[kind](X, Y), **steps), one.predict(X, SIZE))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_rows_and_classes(kind):
    labels = (Y[:, 0] > 0).astype("int32")

    def classifier():
        made = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=1, dtype="float64")
        made.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return made

    one, other = classifier(), classifier()
    weights = {0: 0.5, 1: 2.0}
    expected = one.fit(X, labels, SIZE, 2, 0, shuffle=False, sample_weight=WEIGHT, class_weight=weights)
    more = EXTRA.get(kind, {})
    history = other.fit(KINDS[kind](X, labels, WEIGHT), epochs=2, verbose=0, shuffle=False, class_weight=weights, **more)
    assert same_weights(one, other)
    assert curves(history) == curves(expected)


@pytest.mark.parametrize("named", [True, False])
def test_several_inputs_and_outputs(named):
    def parts(rows):
        x, y = {"a": X[rows], "b": Y[rows]}, {"p": X[rows, :1], "q": Y[rows]}
        return (x, y) if named else (tuple(x.values()), list(y.values()))

    one, other = two_inputs(), two_inputs()
    one.fit(*parts(slice(None)), SIZE, 2, 0, shuffle=False)
    other.fit(
        (parts(slice(i, i + SIZE)) for _ in range(2) for i in range(0, N, SIZE)), steps_per_epoch=STEPS, epochs=2, verbose=0
    )
    assert same_weights(one, other)
    x = parts(slice(None))[0]
    for mine, expected in zip(other.predict(({"a": X, "b": Y} for _ in range(1)), steps=1), one.predict(x), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_batches_of_several_sizes_are_as_steps_of_each():
    sizes = [3, 1, 17, 17, 8, 33, 5]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    x, y = np.tile(X, (2, 1))[: starts[-1]], np.tile(Y, (2, 1))[: starts[-1]]
    parts = [(x[a:b], y[a:b]) for a, b in itertools.pairwise(starts)]
    for loss in ("mse", mean_square, own_loss):
        one, other = model(loss=loss), model(loss=loss)
        found = [one.train_on_batch(*part)[0] for part in parts]
        history = other.fit(iter(parts), steps_per_epoch=len(parts), verbose=0)
        assert same_weights(one, other)
        assert history.history["loss"][0] == pytest.approx(np.average(found, weights=sizes), rel=1e-12)
        whole = one.predict(x)
        assert other.evaluate(iter(parts), steps=7)[0] == pytest.approx(np.mean((whole - y) ** 2), rel=1e-12)


def test_a_model_is_built_for_the_first_batch():
    one, other = (fn.Sequential([fn.layers.Dense(4), fn.layers.Dense(1)], seed=2) for _ in range(2))
    for made in (one, other):
        made.compile("sgd", "mse")
    one.fit(X, Y, SIZE, verbose=0, shuffle=False)
    other.fit(Loader(), verbose=0)
    assert same_weights(one, other)
    untouched = fn.Sequential([fn.layers.Dense(4), fn.layers.Dense(2)])
    untouched.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y has shape"):
        untouched.fit(Loader(), verbose=0)
    assert not untouched.built


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gaps", [False, True])
def test_scaling_is_learnt_from_batches(kind, gaps):
    x = X * [1, 1e-3, 100] + [0, 5, 1e4]
    x[:, 1][:SIZE] = 7.0
    if gaps:
        x[RNG.random(x.shape) < 0.2] = np.nan
        x[:SIZE, 2] = np.nan
    one, other = fn.layers.Normalization(fill_missing=gaps), fn.layers.Normalization(fill_missing=gaps)
    one.adapt(x)
    steps = {"steps": STEPS} if kind == "generator" else {}
    other.adapt(KINDS[kind](x, Y), **steps)
    np.testing.assert_allclose(other.mean, np.nanmean(x, axis=0), rtol=1e-13)
    np.testing.assert_allclose(other.variance, np.nanvar(x, axis=0), rtol=1e-10)
    np.testing.assert_allclose([other.mean, other.variance], [one.mean, one.variance], rtol=1e-10)
    if not gaps:
        one, other = fn.layers.MinMaxScaling(), fn.layers.MinMaxScaling()
        one.adapt(x)
        other.adapt(KINDS[kind](x, Y), **steps)
        np.testing.assert_array_equal([one.data_min, one.data_max], [other.data_min, other.data_max])


def test_scaling_is_not_learnt_from_what_has_no_end_or_no_rows():
    with pytest.raises(ValueError, match="give steps"):
        fn.layers.Normalization().adapt(generate())
    with pytest.raises(ValueError, match="data is empty"):
        fn.layers.Normalization().adapt(iter([]), steps=2)
    with pytest.raises(ValueError, match="3 features, and then 1"):
        fn.layers.Normalization().adapt(iter([X, Y]), steps=2)


def test_open_sizes():
    def made():
        x = fn.Input((None, 3))
        found = fn.Model(x, fn.layers.Dense(1)(fn.layers.GlobalAveragePooling1D()(x)), seed=0, dtype="float64")
        found.compile("adam", "mse")
        return found

    parts = [(RNG.normal(size=(4, length, 3)), Y[:4]) for length in (5, 2, 5, 7)]
    one, other = made(), made()
    for part in parts * 2:
        one.train_on_batch(*part)
    other.fit(iter(parts * 2), steps_per_epoch=4, epochs=2, verbose=0)
    assert same_weights(one, other)
    whole = np.concatenate([one.predict(x) for x, _ in parts])
    np.testing.assert_array_equal(other.predict(iter(parts), steps=4), whole)

    def asks():
        other.predict(parts[0][0])
        yield from parts

    with pytest.raises(RuntimeError, match="where its data are read"):
        other.fit(asks(), steps_per_epoch=4, verbose=0)


def test_metrics_that_see_arrays_and_penalties_that_are_functions():
    def made():
        layer = fn.layers.Dense(1, kernel_regularizer=lambda w: 0.1 * ops.sum(ops.square(w)))
        found = fn.Sequential([fn.Input((3,)), layer], seed=1, dtype="float64")
        found.compile("sgd", "mse", metrics=[OwnMetric()])
        return found

    one, other = made(), made()
    expected = one.fit(X, Y, SIZE, 2, 0, shuffle=False, validation_data=(X, Y), validation_batch_size=SIZE)
    history = other.fit(Loader(), epochs=2, verbose=0, validation_data=Loader())
    assert same_weights(one, other)
    assert curves(history) == curves(expected)


# ---- epochs and order ------------------------------------------------------------------------------------


def test_numbered_batches_are_asked_for_in_each_epoch_in_another_order():
    data = Batches()
    model().fit(data, epochs=2, verbose=0)
    epochs = "".join(map(str, data.calls)).replace("end", "|").strip("|").split("|")
    assert [sorted(epoch) for epoch in epochs] == [list("01234")] * 2 and epochs[0] != epochs[1]
    again = Batches()
    model().fit(again, epochs=2, verbose=0)
    assert again.calls == data.calls
    other = Batches()
    model(seed=7).fit(other, epochs=2, verbose=0)
    assert other.calls != data.calls
    plain = Batches()
    model().fit(plain, epochs=2, verbose=0, shuffle=False)
    assert plain.calls == [*range(5), "end"] * 2


def test_batches_may_change_from_epoch_to_epoch():
    class Changing(Batches):
        def on_epoch_end(self):
            self.parts = (X[:20], Y[:20])

    one, other = model(), model()
    one.fit(X, Y, SIZE, verbose=0, shuffle=False)
    one.fit(X[:20], Y[:20], SIZE, verbose=0, shuffle=False)
    other.fit(Changing(), epochs=2, verbose=0, shuffle=False)
    assert same_weights(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_takes_up_where_the_one_before_has_ended(kind):
    """Of what has an end one that comes to it is shorter, as with arrays; a generator goes on."""
    one, other = model(), model()
    logged = []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: logged.append(batch))
    expected = one.fit(X, Y, SIZE, epochs=4, verbose=0, shuffle=False, steps_per_epoch=3)
    other.fit(KINDS[kind](X, Y), epochs=4, verbose=0, shuffle=False, steps_per_epoch=3, callbacks=[note])
    if kind == "generator":
        assert logged == [0, 1, 2] * 4
        again = model()
        again.fit(X, Y, SIZE, epochs=2, verbose=0, shuffle=False)
        for i in range(2):
            again.train_on_batch(X[i * SIZE : (i + 1) * SIZE], Y[i * SIZE : (i + 1) * SIZE])
        assert same_weights(other, again)
    else:
        assert logged == [0, 1, 2, 0, 1] * 2
        assert same_weights(one, other)
        assert expected.epoch == other.history.epoch


def test_hooks_of_batches_and_the_end():
    seen = []
    note = LambdaCallback(
        on_train_begin=lambda logs: seen.append(note.params["steps"]),
        on_train_batch_begin=lambda batch, logs: seen.append(("begin", batch)),
        on_train_batch_end=lambda batch, logs: seen.append(("end", batch)),
        on_test_batch_end=lambda batch, logs: seen.append(("test", batch)),
        on_epoch_end=lambda epoch, logs: setattr(made, "stop_training", True),
    )
    made = model()
    made.fit(Loader(), epochs=5, verbose=0, callbacks=[note], validation_data=Unknown(X[:20], Y[:20]))
    steps = [(word, i) for i in range(STEPS) for word in ("begin", "end")]
    assert seen == [STEPS, *steps, ("test", 0), ("test", 1)]
    stopping = LambdaCallback(on_test_batch_end=lambda batch, logs: setattr(made, "stop_evaluating", batch == 1))
    expected = made.evaluate(X[:20], Y[:20])
    assert made.evaluate(Loader(), callbacks=[stopping]) == pytest.approx(expected, rel=1e-12)
    outputs = []
    stopping = LambdaCallback(
        on_predict_batch_end=lambda batch, logs: outputs.append(logs["outputs"]) or setattr(made, "stop_predicting", True)
    )
    assert len(made.predict(Loader(), callbacks=[stopping])) == SIZE and len(outputs) == 1


def test_no_more_is_taken_from_an_iterator_than_is_used():
    taken = []

    def batches():
        for i in range(100):
            taken.append(i)
            yield X[:SIZE], Y[:SIZE]

    given, made = batches(), model()
    made.fit(given, steps_per_epoch=2, epochs=3, verbose=0, validation_data=given, validation_steps=1)
    assert len(taken) == 9
    made.evaluate(given, steps=4)
    made.predict(given, steps=2)
    assert len(taken) == 15


def test_an_iterator_that_ends_early_ends_training_with_a_warning():
    parts = [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, 40, SIZE)] * 2
    made = model()
    with pytest.warns(UserWarning, match="no more batches: training ends after 3 of 9"):
        history = made.fit(iter(parts), steps_per_epoch=3, epochs=9, verbose=0)
    assert history.epoch == [0, 1, 2] and made.optimizer.iterations == 8


# ---- what cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["generator", "endless"])
def test_what_may_have_no_end_needs_a_number_of_steps(kind):
    def data():
        return generate() if kind == "generator" else Unknown(cardinality=-1)

    made = model()
    before = made.get_weights()
    calls = {
        "steps_per_epoch": lambda: made.fit(data(), verbose=0),
        "validation_steps": lambda: made.fit(X, Y, verbose=0, validation_data=data()),
        "give steps,": lambda: made.evaluate(data()),
        "steps, the number": lambda: made.predict(data()),
    }
    for word, call in calls.items():
        with pytest.raises(ValueError, match=word):
            call()
    assert all((a == b).all() for a, b in zip(before, made.get_weights()))


def test_arguments_that_do_not_go_with_batches():
    made = model()
    for more, words in (
        ({"y": Y}, "its own y"),
        ({"batch_size": 3}, "its own batch_size"),
        ({"sample_weight": WEIGHT}, "its own sample_weight"),
        ({"validation_split": 0.5}, "validation_data"),
        ({"class_weight": "balanced"}, "balanced"),
    ):
        with pytest.raises(ValueError, match=words):
            made.fit(Loader(), verbose=0, **more)
    with pytest.raises(ValueError, match="takes all rows at once"):
        model(fn.optimizers.LBFGS()).fit(Loader(), verbose=0)
    for data, words in ((Batches(X[:0], Y[:0]), "no batches"), (iter([]), "no batches"), (iter([(1, 2, 3, 4)]), "4 items")):
        with pytest.raises(ValueError, match=words):
            made.fit(data, steps_per_epoch=1, verbose=0)
    with pytest.raises(RuntimeError, match="compiled"):
        fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)]).fit(Loader(), verbose=0)


class Failure(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 4])
def test_what_a_generator_raises_is_raised_by_fit(at):
    def batches():
        for i in range(at):
            yield X[:SIZE], Y[:SIZE]
        raise Failure("as it is")

    made = model()
    threads = threading.active_count()
    with pytest.raises(Failure, match="as it is") as caught:
        made.fit(batches(), steps_per_epoch=10, verbose=0)
    assert any(entry.name == "batches" for entry in caught.traceback)
    assert made.optimizer.iterations == at and threading.active_count() == threads
    with pytest.raises(Failure):
        made.evaluate(batches(), steps=10)
    with pytest.raises(Failure):
        made.predict(batches(), steps=10)


def test_a_bad_batch_is_named():
    parts = [(X[:SIZE], Y[:SIZE])] * 3 + [(X[:SIZE] * np.nan, Y[:SIZE])]
    with pytest.raises(ValueError, match="x holds nan in row 0, column 0"):
        model().fit(iter(parts), steps_per_epoch=4, verbose=0)
    parts[3] = (X[:SIZE, :2], Y[:SIZE])
    with pytest.raises(ValueError, match="x has shape"):
        model().fit(iter(parts), steps_per_epoch=4, verbose=0)


def test_who_waits_for_a_batch_can_be_interrupted():
    """By Ctrl-C, while a generator takes its time."""
    waiting, over = threading.Event(), threading.Event()

    def batches():
        yield X[:SIZE], Y[:SIZE]
        waiting.set()
        over.wait(60)
        yield X[:SIZE], Y[:SIZE]

    def interrupt():
        waiting.wait(60)
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    made = model()
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        made.fit(batches(), steps_per_epoch=2, verbose=0)
    over.set()
    assert made.optimizer.iterations == 1
    made.fit(X, Y, verbose=0)


# ---- checkpoints -----------------------------------------------------------------------------------------


class Interrupt(Exception):
    pass


class InterruptAt(fn.callbacks.Callback):
    """Raises after so many batches of the optimizer, when the checkpoint has been written."""

    writes_training = True

    def __init__(self, batches):
        self.batches = batches

    def on_checkpoint(self, fit, epoch_ended):
        if fit.optimizer.batches >= self.batches:
            raise Interrupt


class Shuffled(Batches):
    """Another order of the rows after each epoch, by a generator of random numbers of its own."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.rng = np.random.default_rng(5)

    def on_epoch_end(self):
        order = self.rng.permutation(len(self.parts[0]))
        self.parts = tuple(part[order] for part in self.parts)


@pytest.mark.parametrize("kind", [*KINDS, "shuffled"])
@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("at", [3, 4, 5, 8])
def test_training_goes_on_with_the_same_bits(kind, steps, at, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda number: None)

    def train(last, resume_from=None):
        made = model(MODELS["a schedule"]().optimizer.__class__(0.05, momentum=0.9))
        more = {**EXTRA.get(kind, {}), **({} if steps is None else {"steps_per_epoch": steps})}
        checkpoint = TrainingCheckpoint(tmp_path / "training.safetensors", every_steps=1)
        held = {"validation_data": generate(X[:30], Y[:30]), "validation_steps": 1}
        data = {**KINDS, "shuffled": Shuffled}[kind](X, Y)
        history = made.fit(
            data, epochs=5, verbose=0, callbacks=[checkpoint, InterruptAt(last)], resume_from=resume_from, **held, **more
        )  # fmt: skip
        return made, history

    whole, expected = train(10**6)
    with pytest.raises(Interrupt):
        train(at)
    resumed, history = train(10**6, tmp_path / "training.safetensors")
    assert same_weights(whole, resumed)
    assert curves(history) == curves(expected)


def test_a_checkpoint_of_other_data(tmp_path):
    path = tmp_path / "training.safetensors"
    model().fit(Loader(), epochs=2, verbose=0, callbacks=[TrainingCheckpoint(path)])
    with pytest.raises(ValueError, match="n_rows"):
        model().fit(X, Y, SIZE, epochs=3, verbose=0, callbacks=[TrainingCheckpoint(path)], resume_from=path)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model().fit(Loader(), epochs=3, verbose=0, callbacks=[TrainingCheckpoint(path)], resume_from=path, steps_per_epoch=2)
    model().fit(generate(), epochs=3, steps_per_epoch=3, verbose=0, callbacks=[TrainingCheckpoint(path)])
    short = iter([(X[:SIZE], Y[:SIZE])] * 5)
    with pytest.raises(ValueError, match="ends after 5 batches, 9"):
        model().fit(short, epochs=4, steps_per_epoch=3, verbose=0, callbacks=[TrainingCheckpoint(path)], resume_from=path)


# ---- PyTorch -----------------------------------------------------------------------------------------------


def test_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    one, other = model(), model()
    one.fit(X, Y, SIZE, epochs=2, verbose=0, shuffle=False)
    other.fit(torch.utils.data.DataLoader(data, SIZE), epochs=2, verbose=0)
    assert same_weights(one, other)
    with pytest.raises(TypeError, match="DataLoader"):
        other.fit(data, verbose=0)


def test_no_warnings_of_threads_left_behind():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(Loader(), epochs=2, verbose=0)
    assert not [thread for thread in threading.enumerate() if thread.name == "fastnet-reader"]
