"""Networks divided among threads by the units of their first two layers: the same bits as with one thread."""

import threading

import cases
import numpy as np
import pytest
import reference
from networks import Reference, classes, rows, same_weights
from plans import Graph, Model, assert_close, assert_same_step, reference_step

import fastnet as fn
from fastnet import _core

N_ROWS, BATCH = 600, 32  # the last batch is smaller
TRAIN = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE
SPARSE = ("sparse_categorical_crossentropy", {"from_logits": 1})


def suitable(first="relu", second="relu", use_bias=True, tail=None):
    """Layers that may be divided, of widths that divide as little as may be."""
    graph = Graph()
    h = graph.dense(graph.input((41,)), 64, first, use_bias=use_bias, seed=1)
    h = graph.dense(h, 97, second, use_bias=use_bias, seed=2)
    if tail:
        h = graph.node(tail[0], [h], **tail[1])
    graph.output(graph.dense(h, 10, seed=3), SPARSE[0], **SPARSE[1])
    graph.metric("sparse_categorical_accuracy")
    return graph


def data(dtype="float32"):
    random = np.random.default_rng(0)
    x = random.normal(size=(N_ROWS, 41)).astype(dtype)
    return [x], [random.integers(0, 10, N_ROWS).astype(np.int32)]


def train(graph, dtype="float32", *, n_threads, optimizer="adam", hyper=None, epochs=3, **options):
    """(model, everything that came out of some shuffled epochs, as bytes)"""
    model = Model(graph, dtype, max_rows=BATCH, n_threads=n_threads, optimizer=optimizer, hyper=hyper, seed=4)
    inputs, targets = data(dtype)
    kept = [np.zeros(2), np.zeros(model.plan.metric_size), np.zeros((epochs - 1, 2 + model.plan.metric_size + 2))]
    model.plan.run(
        TRAIN,
        n_rows=N_ROWS,
        batch_size=BATCH,
        inputs=inputs,
        targets=targets,
        order=_core.shuffle(1, 0, N_ROWS),
        epochs=epochs,
        shuffle=(1, 0),
        hyper=model.hyper_row,
        loss_sum=kept[0],
        metrics=kept[1],
        epoch_results=kept[2],
        **options,
    )
    kept[2][:, -1] = 0  # seconds
    slots = [view for i in range(len(model.slots)) for view in model.slot_views(i)]
    found = [array.tobytes() for array in [*kept, *model.weights, *model.gradient_views, *slots]]
    return model, [*found, model.plan.gradient_squares]


def sharded_steps(model):
    return model.plan.info()["peer_steps"]


def assert_divided(graph, dtype="float32", **options):
    """Two threads divide the network, three its rows, and both give what one thread gives."""
    expected = train(graph, dtype, n_threads=1, **options)[1]
    for n_threads, divided in [(1, False), (2, True), (3, False)]:
        model, found = train(graph, dtype, n_threads=n_threads, **options)
        assert sharded_steps(model) == divided * 3 * -(-N_ROWS // BATCH)
        assert found == expected


@pytest.mark.parametrize("use_bias", [True, False])
def test_same_bits(use_bias, isa, dtype):
    """Weights, slots, gradients, losses, metrics and norms."""
    assert_divided(suitable("relu", "gelu", use_bias), dtype)


@pytest.mark.parametrize("activation", _core.registry("activations"))
def test_activations(activation):
    assert_divided(suitable(activation, activation))


@pytest.mark.parametrize(
    "tail",
    [("dropout", {"rate": 0.3}), ("activation", {"activation": _core.activation_index("elu")}), ("softmax", {})],
    ids=lambda tail: tail[0],
)
def test_what_follows_is_repeated(tail):
    """Every shard has what comes after the layers that are divided, random numbers included."""
    assert_divided(suitable(tail=tail))


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_optimizers(optimizer):
    """Those that work element by element; others need parameters as a whole."""
    if reference.OPTIMIZERS[optimizer].per_parameter:
        model, found = train(suitable(), n_threads=2, optimizer=optimizer)
        assert model.plan.info()["peers"] == 1 and found == train(suitable(), n_threads=1, optimizer=optimizer)[1]
    else:
        assert_divided(suitable(), optimizer=optimizer)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulation_steps": 3},
        {"clipvalue": 1e-3},
        {"clipnorm": 0.1},
        {"global_clipnorm": 0.3},
        {"global_clipnorm": 0.3, "accumulation_steps": 3},
        {"weight_decay": 0.01},
        {"weight_decay": 0.01, "decay_coupled": 1},
        {"ema_momentum": 0.9, "ema_overwrite_frequency": 5},
        {"lookahead_steps": 4},
        {"mean_start": 10, "mean_period": 3},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_around_the_optimizer(optimizer, options):
    assert_divided(suitable(), optimizer=optimizer, hyper=options)


def test_inputs_of_a_call():
    """Weights of samples, learning rates from step to step, and mixing of rows."""
    weights = [np.random.default_rng(2).random(N_ROWS).astype("float32")]
    assert_divided(suitable(), weights=weights)
    graph = Graph()  # with targets that can be mixed
    h = graph.dense(graph.dense(graph.input((41,)), 64, "relu", seed=1), 97, "relu", seed=2)
    graph.output(graph.dense(h, 1, seed=3), "mean_squared_error")
    assert_divided(graph, mixup=0.4)


# ---- against the reference ---------------------------------------------------------------------------


@pytest.mark.parametrize("rows_of_batch", [1, 5, 32])
@pytest.mark.parametrize(("first", "second"), [("relu", "tanh"), ("gelu", "mish")])
def test_gradients(first, second, rows_of_batch, isa, dtype):
    """The second layer adds up its terms in parts, in every plan that trains: with the gradients of the reference."""
    graph = suitable(first, second)
    inputs, targets = ([array[:rows_of_batch] for array in arrays] for arrays in data(dtype))
    steps = [Model(graph, dtype, max_rows=BATCH, n_threads=n).gradients(inputs, targets) for n in (1, 2, 3)]
    model = Model(graph, dtype, max_rows=BATCH)
    expected = reference_step(graph, model.weights, inputs, targets)
    assert "dense forward split-k" in model.plan.stage_labels()
    assert_same_step(steps[0], expected, 1e-4 if dtype == "float32" else 1e-10)
    for step in steps[1:]:
        assert_same_step(step, steps[0], 0)


def test_training_against_the_reference():
    """Epochs of a model on two threads, each with its half, are those of NumPy in float64."""
    model = fn.Sequential(
        [fn.Input((41,)), fn.layers.Dense(64, "tanh"), fn.layers.Dense(97, "relu"), fn.layers.Dense(1)], seed=3, dtype="float64"
    )
    model.compile(fn.optimizers.Adam(0.003), "mse", n_threads=2)
    x, y = rows(N_ROWS, 41), rows(N_ROWS, 1, seed=1)
    peer = Reference(
        model, "mean_squared_error", "adam", learning_rate=0.003, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=0, pytorch=0
    )
    losses = peer.fit(x, y, BATCH, epochs=4)
    history = model.fit(x, y, batch_size=BATCH, epochs=4, shuffle=False, verbose=0)
    assert_close(history.history["loss"], losses, 1e-9)
    assert_close(model.predict(x), peer.predict(x), 1e-8)


# ---- calls -------------------------------------------------------------------------------------------


def classifier(n_threads, width=64):
    model = fn.Sequential(
        [fn.Input((64,)), fn.layers.Dense(width, "relu"), fn.layers.Dense(96, "relu"), fn.layers.Dense(10)], seed=3
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(0.01), loss, metrics=["accuracy"], n_threads=n_threads)
    return model


def numbers(history):
    return {name: values for name, values in history.history.items() if name != "seconds"}


@pytest.mark.parametrize("call", [{}, {"validation_split": 0.2}, {"shuffle": False}, {"callbacks": [fn.callbacks.Callback()]}],
                         ids=["plain", "validated", "in order", "called"])  # fmt: skip
def test_fit(call):
    """The same history and weights, and weights that are the caller's between calls, to read and to set."""
    x, y = rows(N_ROWS, 64), classes(N_ROWS, 10)
    models = [classifier(n_threads) for n_threads in (1, 2, 3, None)]
    for scale in (1, 0.5):
        histories = [numbers(model.fit(x, y, batch_size=BATCH, epochs=5, verbose=0, **call)) for model in models]
        assert all(history == histories[0] for history in histories)
        assert all(same_weights(model, models[0]) for model in models)
        for model in models:
            model.set_weights([scale * weight for weight in model.get_weights()])


def test_steps_one_by_one():
    """Calls of few steps leave the parameters where they are; they may come before and after others."""
    x, y = rows(N_ROWS, 64), classes(N_ROWS, 10)
    models = [classifier(n_threads) for n_threads in (1, 2)]
    for model in models:
        for i in range(3):
            model.train_on_batch(x[:BATCH], y[:BATCH])
            model.fit(x, y, batch_size=BATCH, epochs=1 + i, verbose=0)
    assert same_weights(*models)


def test_short_calls_are_not_divided():
    for n_rows, steps in [(15 * BATCH, 0), (16 * BATCH, 16)]:
        model = Model(suitable(), "float32", max_rows=BATCH, n_threads=2, optimizer="adam")
        inputs, targets = ([array[:n_rows] for array in arrays] for arrays in data())
        model.train(inputs, targets, BATCH, metrics=np.zeros(model.plan.metric_size))
        assert sharded_steps(model) == steps


def test_divergence():
    """The step whose loss is not finite changes nothing, on any shard."""
    inputs, targets = data()
    inputs[0][500] = np.inf
    states = []
    for n_threads in (1, 2):
        model = Model(suitable(), "float32", max_rows=BATCH, n_threads=n_threads, optimizer="adam")
        with pytest.raises(FloatingPointError, match="step 15"):
            model.train(inputs, targets, BATCH, metrics=np.zeros(model.plan.metric_size))
        states.append(model.state())
    assert sharded_steps(model) > 0 and states[0] == states[1]


def test_a_label_that_changes_within_a_step():
    """Each shard gathers it for itself: where one of them alone sees a class that there is not, none of them makes the step."""
    graph, steps, row, n_rows = suitable(), 18, 300, 18 * BATCH
    (x,), (labels,) = data()

    def run(labels, n_threads, n_rows=n_rows):
        model = Model(graph, max_rows=BATCH, n_threads=n_threads, optimizer="adam", seed=4)
        given = {"inputs": [x], "targets": [labels], "hyper": model.hyper_row, "metrics": np.zeros(model.plan.metric_size)}
        try:
            model.plan.run(TRAIN, n_rows=n_rows, batch_size=BATCH, **given)
        except ValueError as error:
            assert "label 99 in row 300" in str(error)
        return model

    after = {done: run(labels, 1, done * BATCH).weights for done in (row // BATCH, steps)}
    changing, ended = labels.copy(), threading.Event()

    def change():
        while not ended.is_set():
            changing[row] = 99
            changing[row] = labels[row]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        found = set()
        for _ in range(200):
            model = run(changing, 2)
            found.add(model.plan.steps_done)
            assert same_weights(model.weights, after[model.plan.steps_done])
    finally:
        ended.set()
        thread.join()
    assert found <= set(after)


def test_time_limit():
    """Calls that end after a step each go on from each other."""
    inputs, targets = data()
    states = []
    for n_threads, seconds in [(1, 0), (2, 1e-9)]:
        model = Model(suitable(), "float32", max_rows=BATCH, n_threads=n_threads, optimizer="adam")
        row = step = 0
        while row < N_ROWS:
            row, steps = model.plan.run(
                TRAIN,
                n_rows=N_ROWS,
                batch_size=BATCH,
                first_row=row,
                inputs=inputs,
                targets=targets,
                step=step,
                hyper=model.hyper_row,
                loss_sum=np.zeros(2),
                metrics=np.zeros(model.plan.metric_size),
                seconds=seconds,
            )
            step += steps
        states.append(model.state())
    assert sharded_steps(model) == 3 and states[0] == states[1]  # then fewer than 16 are left


def test_threads_chosen_by_measurement():
    """One thread and shards, tried piece by piece: the bits are those of one thread. With more processors: tests/c/test_teams.c."""
    model, found = train(suitable(), n_threads=0, epochs=400)
    assert found == train(suitable(), n_threads=1, epochs=400)[1]
    assert (sharded_steps(model) > 0) == (_core.default_threads() > 1)


def test_plans_at_the_same_time():
    """Each plan has shards of its own: several may be run by several threads of Python."""
    found = [None] * 4

    def work(i):
        found[i] = train(suitable(), n_threads=2, epochs=10)[1]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(found))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(one == found[0] for one in found) and found[0] == train(suitable(), n_threads=1, epochs=10)[1]


def test_no_allocation():
    model = train(suitable(), n_threads=2)[0]
    inputs, targets = data()
    before = _core.allocation_count()
    for step in range(0, 200, 20):
        model.train(inputs, targets, BATCH, step=step, metrics=np.zeros(model.plan.metric_size))
    assert _core.allocation_count() == before


# ---- gaps between parameters -------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_gaps_in_the_slabs(gap):
    """Parameters that do not follow one another are updated one by one, in shards as well: sums of squares are the same."""
    found = []
    for n_threads in (1, 2):
        model = Model(suitable(), "float32", max_rows=BATCH, n_threads=n_threads, optimizer="adam", gap=gap)
        inputs, targets = data()
        model.train(inputs, targets, BATCH, metrics=np.zeros(model.plan.metric_size))
        found.append((model.plan.gradient_squares, [weight.tobytes() for weight in model.weights]))
    assert found[0] == found[1] and sharded_steps(model) > 0


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_nothing_comes_out_of_gaps(optimizer):
    """Between parameters an update may divide 0 by 0; coupled decay does not bring that to the norm of the gradient."""
    hyper = {"epsilon": 0, "weight_decay": 0.01, "decay_coupled": 1}
    for graph in (suitable("tanh", "tanh"), narrow("tanh")):
        found = [train(graph, n_threads=n_threads, optimizer=optimizer, hyper=hyper)[1] for n_threads in (1, 2)]
        assert found[0] == found[1] and np.isfinite(found[0][-1]) and found[0][-1] > 0


# ---- what is not divided -----------------------------------------------------------------------------


def narrow(activation="relu"):
    graph = Graph()
    h = graph.dense(graph.input((41,)), 63, activation, seed=1)
    graph.output(graph.dense(graph.dense(h, 130, activation, seed=2), 10, seed=3), SPARSE[0], **SPARSE[1])
    graph.metric("sparse_categorical_accuracy")
    return graph


def deep():
    graph = Graph()
    h = graph.input((41,))
    for seed in range(6):
        h = graph.dense(h, 64, "relu", seed=seed)
    graph.output(graph.dense(h, 10, seed=3), SPARSE[0], **SPARSE[1])
    return graph


def branched():
    """The hidden layer has two users."""
    graph = Graph()
    h = graph.dense(graph.input((41,)), 64, "relu", seed=1)
    both = graph.node("concatenate", [graph.dense(h, 97, "relu", seed=2), h])
    graph.output(graph.dense(both, 10, seed=3), SPARSE[0], **SPARSE[1])
    return graph


def shared():
    """Both layers have one kernel."""
    graph = Graph()
    kernel = graph.parameter(np.random.default_rng(1).normal(size=(96, 96)) / 10)
    h = graph.input((96,))
    for _ in range(2):
        h = graph.node("dense", [h], [kernel], units=96, use_bias=0, activation=_core.activation_index("relu"))
    graph.output(graph.dense(h, 10, seed=3), SPARSE[0], **SPARSE[1])
    return graph


@pytest.mark.parametrize("make", [narrow, deep, branched, shared])
def test_other_networks(make):
    """They are not divided, nor do their layers add up terms in parts."""
    model = Model(make(), "float32", max_rows=BATCH, n_threads=2, optimizer="adam")
    assert model.plan.info()["peers"] == 1 and "dense forward split-k" not in model.plan.stage_labels()


@pytest.mark.parametrize(
    "change",
    [
        {"n_threads": 1},
        {"optimizer": None},
        {"input_gradients": True},
        {"hyper": {"lazy": 1}},
    ],
    ids=str,
)
def test_other_plans(change):
    """Of a network that may be divided: plans that have one thread, or need its parameters together."""
    options = {"max_rows": BATCH, "n_threads": 2, "optimizer": "adam"}
    assert Model(suitable(), "float32", **options).plan.info()["peers"] == 2
    plan = Model(suitable(), "float32", **options | change).plan
    assert plan.info()["peers"] == 1 and "dense forward split-k" in plan.stage_labels()
    for other in ({"training": False}, {"max_rows": 2}, {"max_rows": 65536}):
        plan = Model(suitable(), "float32", **options | other).plan
        assert plan.info()["peers"] == 1 and "dense forward split-k" not in plan.stage_labels()


def penalized(n_threads, first, second, bias=None, **options):
    """A network whose layers have penalties, after some epochs; and the losses of these."""
    x, y = rows(N_ROWS, 41), classes(N_ROWS, 10)
    layers = [
        fn.layers.Dense(64, "relu", kernel_regularizer=first),
        fn.layers.Dense(97, "relu", kernel_regularizer=second, bias_regularizer=bias),
        fn.layers.Dense(10),
    ]
    model = fn.Sequential([fn.Input((41,)), *layers], seed=1)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(0.01, **options), loss, n_threads=n_threads)
    history = model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0).quantities
    return model, [history["loss"], history["gradient_norm"]]


@pytest.mark.parametrize(
    "options", [{}, {"global_clipnorm": 0.5}, {"clipnorm": 0.1}, {"gradient_accumulation_steps": 2}], ids=str
)
@pytest.mark.parametrize(
    "penalties",
    [("l2", None), (None, "l2"), ("l1", "l1_l2"), (None, None, "l2"), (None, None)],
    ids=str,
)
def test_penalties(penalties, options):
    """Shards sum them as a whole network does, block by block: the same bits, and the losses that are reported."""
    expected, logs = penalized(1, *penalties, **options)
    model, found = penalized(2, *penalties, **options)
    assert (model._latest_plan().info()["peer_steps"] > 0) == (_core.cpu_count() > 1)
    assert same_weights(expected, model) and found == logs


def test_the_reported_loss_has_the_penalties():
    """With numbers of float64 against NumPy, of the weights after training."""
    model, _ = penalized(2, fn.regularizers.L1L2(0.02, 0.03), fn.regularizers.L2(0.5))
    first, second = (layer.kernel.astype(np.float64) for layer in model.layers[:2])
    penalty = 0.02 * np.abs(first).sum() + 0.03 * (first**2).sum() + 0.5 * (second**2).sum()
    x, y = rows(N_ROWS, 41), classes(N_ROWS, 10)
    plain = fn.Sequential([fn.Input((41,)), *(fn.layers.Dense(n, a) for n, a in [(64, "relu"), (97, "relu"), (10, None)])])
    plain.set_weights(model.get_weights())
    plain.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = plain.evaluate(x, y, verbose=0) + penalty
    model.compile(fn.optimizers.SGD(0.0), fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=2)
    history = model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


# ---- any size --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(cases.how_many(18)))
def test_random_sizes(seed):
    """Any widths and batches for which it may be done."""
    random = np.random.default_rng(seed)
    second, units = int(random.integers(60, 130)), 64 * int(random.integers(1, 4))
    features = int(random.integers(60, 130)) if seed % 2 else int(random.integers(300, 800))
    graph = Graph()
    h = graph.dense(graph.input((features,)), units, "relu", seed=1)
    if seed % 2:
        h = graph.dense(h, second, "tanh", seed=2)
    graph.output(graph.dense(h, 3, seed=3), "mean_squared_error")
    batch = int(random.integers(32, 100))
    n_rows = int(random.integers(16 * batch, 20 * batch))
    x, y = random.normal(size=(n_rows, features)).astype("float32"), random.normal(size=(n_rows, 3)).astype("float32")
    found = []
    for n_threads in (1, 2):
        model = Model(graph, "float32", max_rows=batch, n_threads=n_threads, optimizer="adam")
        found.append((*model.train([x], [y], batch)[:2], model.state(), model.plan.gradient_squares))
    assert found[0] == found[1] and sharded_steps(model) == found[0][1]
