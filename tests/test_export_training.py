"""Exported steps of training beside those of the engine: losses, optimizers, all that surrounds them, random networks."""

import cases
import numpy as np
import pytest
from exports import compile_description, compile_model, describe_graph
from plans import Graph, Model, assert_close
from test_optimizers import variants

import fastnet as fn
from fastnet import _core

DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def assert_weights(found, expected, tolerance, what):
    """All weights agree, measured by the largest."""
    scale = max((np.max(np.abs(one), initial=0) for one in expected), default=0)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        error = np.max(np.abs(np.asarray(a, np.float64).ravel() - np.asarray(b, np.float64).ravel()), initial=0)
        assert error <= tolerance * scale, f"{what}: weight {i} differs by {error / scale:.3g} of the largest"


# ---- losses ------------------------------------------------------------------------------------------

LOSSES = [
    *((loss, head, attributes) for loss, heads in cases.HEADS.items() for head, attributes in heads),
    ("dice", "sigmoid", {"axes": 2}),
    ("tversky", "sigmoid", {"axes": 2, "alpha": 0.3, "beta": 0.8}),
    ("binary_crossentropy", "sigmoid", {"label_smoothing": 0.3}),
    ("sparse_categorical_crossentropy", "linear", {"from_logits": 1, "label_smoothing": 0.2}),
    ("sparse_categorical_crossentropy", "softmax", {"label_smoothing": 0.2}),
]


def test_every_loss_has_a_case():
    assert {loss for loss, *_ in LOSSES} == set(_core.registry("losses"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "head", "attributes"), LOSSES, ids=lambda value: str(value))
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_loss(loss, head, attributes, shape, dtype):
    if attributes.get("axes", 0) > len(shape):
        shape = (3, 5)
    random = np.random.default_rng(3)
    for weighted in (None, "rows", "positions"):
        graph = Graph()
        value = graph.dense(graph.input(shape), 4, "linear" if head == "softmax" else head)
        value = graph.node("softmax", [value]) if head == "softmax" else value
        graph.output(value, loss, 0.7, **attributes)
        rows = 6
        inputs = [random.normal(size=(rows, *shape))]
        targets = [cases.target_for(loss, graph.shapes[value], rows, random)]
        inner = int(np.prod(shape[:-1]))
        weights = None if weighted is None else random.uniform(0, 2, (rows, 1 if weighted == "rows" else inner))
        each = None if weights is None else [np.broadcast_to(weights, (rows, inner))]
        model = Model(graph, dtype, max_rows=rows, optimizer="sgd")
        hyper = _core.hyper_parameters("sgd", {"learning_rate": 0.1})
        described = describe_graph(graph, optimizer="sgd")
        compiled = compile_description(described, dtype, train=True, rows=rows)
        given = None if weights is None else [weights[:, 0] if weights.shape[1] == 1 else weights]
        _, _, losses = model.train(inputs, targets, rows, hyper=hyper, weights=given)
        found = compiled.train(inputs, targets, each, learning_rate=0.1)
        what = f"{loss} {head} {attributes} {shape} {weighted}"
        assert_close(found, losses[0] / rows, {"float32": 2e-6, "float64": 1e-13}[dtype], what, floor=1)
        assert_weights([compiled.weight(i) for i in range(2)], model.weights, TOLERANCE[dtype], what)


# ---- optimizers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_optimizer(optimizer, dtype):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 5)), random.normal(size=(64, 3))
    for hyper in variants(optimizer):
        hyper["learning_rate"] = min(hyper["learning_rate"], 0.001)  # at larger ones steps depend on their rounding
        graph = Graph()
        graph.output(graph.dense(graph.dense(graph.input((5,)), 9, "tanh"), 3, seed=1), "mean_squared_error")
        model = Model(graph, dtype, max_rows=8, optimizer=optimizer, hyper=hyper)
        described = describe_graph(graph, optimizer=optimizer, hyper={k: v for k, v in hyper.items() if k != "learning_rate"})
        compiled = compile_description(described, dtype, train=True, rows=8)
        for step in range(100):
            rows = np.arange(8 * step, 8 * step + 8) % 64
            model.train([x[rows]], [y[rows]], 8, step=step)
            assert np.isfinite(compiled.train([x[rows]], [y[rows]], learning_rate=hyper["learning_rate"]))
        assert_weights([compiled.weight(i) for i in range(4)], model.weights, TOLERANCE[dtype], f"{optimizer} {hyper}")


# ---- what surrounds the optimizer --------------------------------------------------------------------

constraints, optimizers = fn.constraints, fn.optimizers
#: (optimizer, arguments of the first dense layer)
AROUND = {
    "l1": (optimizers.SGD(0.01, momentum=0.9), {"kernel_regularizer": fn.regularizers.L1(0.01)}),
    "l1 and l2": (optimizers.Adam(0.01), {"kernel_regularizer": fn.regularizers.L1L2(0.01, 0.02), "bias_regularizer": "l2"}),
    "l2 and plain SGD": (optimizers.SGD(0.01), {"kernel_regularizer": fn.regularizers.L2(0.02)}),
    "decoupled decay": (optimizers.AdamW(0.01, weight_decay=0.1), {}),
    "decoupled decay of SGD": (optimizers.SGD(0.01, weight_decay=0.1), {}),
    "coupled decay": (optimizers.pytorch.Adam(0.01, weight_decay=0.1), {}),
    "decay of LAMB": (optimizers.Lamb(0.01, weight_decay=0.1), {}),
    "decay of LARS": (optimizers.LARS(0.01, weight_decay=0.1), {}),
    "decay of Muon": (optimizers.Muon(0.01, weight_decay=0.1), {}),
    "clipvalue": (optimizers.Adam(0.01, clipvalue=0.02), {}),
    "clipnorm": (optimizers.SGD(0.1, clipnorm=0.05), {}),
    "clipnorm and penalty": (optimizers.SGD(0.1, clipnorm=0.05, momentum=0.5), {"kernel_regularizer": "l2"}),
    "global_clipnorm": (optimizers.SGD(0.1, global_clipnorm=0.05), {}),
    "maximize": (optimizers.pytorch.SGD(0.001, maximize=True), {}),
    "maximize and clipnorm": (optimizers.pytorch.Adam(0.001, maximize=True, clipnorm=0.05), {}),
    "moving average": (optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), {}),
    "moving average that overwrites": (optimizers.SGD(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7), {}),
    "lookahead": (optimizers.Adam(0.01, lookahead_steps=5, lookahead_alpha=0.4), {}),
    "accumulation": (optimizers.Adam(0.01, gradient_accumulation_steps=3), {"kernel_regularizer": "l2"}),
    "accumulation and clipping": (optimizers.SGD(0.1, gradient_accumulation_steps=4, global_clipnorm=0.1), {}),
    "average of Schedule-Free": (optimizers.ScheduleFreeSGD(0.1), {}),
    "non-negative": (optimizers.SGD(0.1), {"kernel_constraint": "non_neg"}),
    "largest norm": (optimizers.Adam(0.01), {"kernel_constraint": constraints.MaxNorm(0.5)}),
    "unit norm": (optimizers.SGD(0.1), {"kernel_constraint": constraints.UnitNorm(axis=1)}),
    "norms between": (optimizers.SGD(0.1, momentum=0.9), {"kernel_constraint": constraints.MinMaxNorm(0.4, 0.6, rate=0.3)}),
}  # fmt: skip


def make_network(optimizer, arguments, dtype="float64", loss="mse", seed=0):
    layers = [
        fn.Input((6,)),
        fn.layers.Dense(9, "tanh", name="first", **arguments),
        fn.layers.Dense(5, "relu"),
        fn.layers.Dense(2),
    ]
    model = fn.Sequential(layers, seed=seed, dtype=dtype)
    model.compile(type(optimizer).from_config(optimizer.get_config()), loss)
    return model


def compile_network(model, **options):
    return compile_model(model, training=True, **options)


def data_for(n=48, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 6)), random.normal(size=(n, 2))


def assert_goes_on(model, compiled, batch_size, steps=40, what=""):
    """The next steps of both have the same losses, and lead to the same predictions."""
    x, y = data_for()
    rate = model.optimizer.learning_rate
    tolerance = {"float32": 2e-5, "float64": 1e-11}[model.dtype]
    for step in range(steps):
        rows = np.arange(batch_size * step, batch_size * (step + 1)) % len(x)
        expected = model.train_on_batch(x[rows], y[rows])
        found = compiled.train([x[rows]], [y[rows]], learning_rate=rate)
        assert_close(found, expected, tolerance, f"{what}: loss of step {step}")
    assert_close(compiled.predict(x)[0], model.predict(x), tolerance, f"{what}: predictions")


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("name", AROUND)
def test_around(name, batch_size):
    optimizer, arguments = AROUND[name]
    model = make_network(optimizer, arguments)
    assert_goes_on(model, compile_network(model, batch_size=batch_size), batch_size, what=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", ["l1 and l2", "decay of Muon", "moving average", "lookahead", "accumulation", "average of Schedule-Free"]
)
def test_export_in_the_middle_of_training(name, dtype):
    optimizer, arguments = AROUND[name]
    model = make_network(optimizer, arguments, dtype)
    x, y = data_for(seed=1)
    for step in range(14):  # in the middle of an accumulation too
        model.train_on_batch(x[:8] + step, y[:8])
    assert_goes_on(model, compile_network(model, batch_size=4), 4, what=name)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("cls", [optimizers.SGD, optimizers.AdamW, optimizers.Muon])
def test_rates_and_decay_of_some_weights(cls, batch_size):
    decay = {} if cls is optimizers.SGD else {"weight_decay": 0.1, "exclude_from_weight_decay": ["bias"]}
    model = make_network(cls(0.01, learning_rate_multipliers={"first": 0.3}, **decay), {})
    assert_goes_on(model, compile_network(model, batch_size=batch_size), batch_size)


def test_memory_saved_and_restored_goes_on_alike():
    model = make_network(optimizers.Adam(0.01, use_ema=True), {})
    compiled = compile_network(model, batch_size=4)
    x, y = data_for()
    for step in range(5):
        compiled.train([x[step : step + 4]], [y[step : step + 4]])
    saved = compiled.memory.tobytes()
    losses = [compiled.train([x[:4]], [y[:4]]) for _ in range(3)]
    fresh = compile_network(model, batch_size=4)
    fresh.memory[:] = np.frombuffer(saved, np.uint8)
    assert [fresh.train([x[:4]], [y[:4]]) for _ in range(3)] == losses
    assert np.array_equal(fresh.predict(x)[0], compiled.predict(x)[0])


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.1), optimizers.Adam(0.1)])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_what_is_not_finite_changes_nothing(optimizer, batch_size):
    model = make_network(optimizer, {})
    compiled = compile_network(model, batch_size=batch_size)
    x, y = data_for(batch_size)
    kept = compiled.predict(x)[0]
    for bad in (np.nan, np.inf):
        assert not np.isfinite(compiled.train([np.where(x == x[0, 2], bad, x)], [y]))
        assert not np.isfinite(compiled.train([x], [np.where(y == y[0, 1], bad, y)]))
        assert np.array_equal(compiled.predict(x)[0], kept)
    assert_goes_on(model, compiled, batch_size, steps=5)


def test_a_gradient_that_overflows_changes_nothing():
    for optimizer in (optimizers.Adam(0.1), optimizers.SGD(0.1, global_clipnorm=1.0), optimizers.SGD(0.1)):
        model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1, kernel_initializer="zeros")], seed=0)
        model.compile(optimizer, "mse")
        compiled = compile_network(model, batch_size=2)
        assert not np.isfinite(compiled.train([[[1e25, 0], [0, 0]]], [[[1e15], [0]]]))  # a loss of 1e30, a gradient of 1e40
        assert compiled.predict(np.ones((1, 2)))[0] == 0


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1])
def test_a_label_that_is_no_class_changes_nothing(label):
    model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(3, "softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    compiled = compile_network(model)
    x, _ = data_for(3)
    kept = compiled.predict(x)[0]
    assert not np.isfinite(compiled.train([x[:1]], [[label]]))
    assert np.array_equal(compiled.predict(x)[0], kept)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (optimizers.SGD(0.1, swa_start=3), "stochastic weight averaging"),
        (optimizers.SGD(0.1, momentum=lambda step: 0.9), "momentum varies"),
        (optimizers.LBFGS(), "LBFGS"),
    ],
)
def test_what_has_no_exported_step(optimizer, words):
    model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(2)], seed=0)
    model.compile(optimizer, "mse")
    with pytest.raises(NotImplementedError, match=words):
        compile_network(model)


def test_several_outputs_and_one_array_with_two_losses():
    inputs = fn.Input((6,))
    shared = fn.layers.Dense(7, "tanh")(inputs)
    first, second = fn.layers.Dense(2, name="first")(shared), fn.layers.Dense(3, name="second")(shared)
    model = fn.Model(inputs, [first, second, first, shared], seed=0, dtype="float64")
    model.compile(optimizers.Adam(0.01), ["mse", "huber", "mae", None], loss_weights=[1.0, 0.5, 2.0, 1.0])
    compiled = compile_network(model, batch_size=4)
    random = np.random.default_rng(0)
    for _ in range(10):
        x, targets = random.normal(size=(4, 6)), [random.normal(size=(4, n)) for n in (2, 3, 2)]
        weights = [random.uniform(0, 2, 4) for _ in targets]
        expected = model.train_on_batch(x, [*targets, None], sample_weight=[*weights, None], return_dict=True)["loss"]
        assert_close(compiled.train([x], targets, weights, learning_rate=0.01), expected, 1e-12)
    for found, expected in zip(compiled.predict(x), model.predict(x), strict=True):
        assert_close(found, expected, 1e-11)


# ---- random networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_networks_train(first):
    optimizers = list(_core.registry("optimizers"))
    for seed in range(first, first + 10):
        network, optimizer = cases.random_network(seed), optimizers[seed % len(optimizers)]
        rows = len(network.inputs[0])
        hyper = {"learning_rate": 0.01}
        model = Model(network.graph, "float64", max_rows=rows, optimizer=optimizer, hyper=hyper)
        compiled = compile_description(describe_graph(network.graph, optimizer=optimizer), "float64", train=True, rows=rows)
        for step in range(10):
            _, _, losses = model.train(network.inputs, network.targets, rows, step=step, weights=network.weights)
            found = compiled.train(network.inputs, network.targets, network.weights, learning_rate=0.01)
            assert_close(found, losses[0] / rows, 1e-8, f"{network.text} {optimizer} step {step}", floor=1)
        weights = [compiled.weight(i) for i in range(len(model.weights))]
        assert_weights(weights, model.weights, 1e-8, f"{network.text} {optimizer}")


@pytest.mark.parametrize("first", range(0, 200, 40))
def test_random_networks_predict(first):
    for seed in range(first, first + 40):
        network = cases.random_network(seed)
        x = network.inputs[0][:4]
        found = compile_description(describe_graph(network.graph), "float32").predict(x)
        expected = Model(network.graph, "float32", max_rows=4, training=False).predict([x])
        assert_close(found[0].reshape(expected[0].shape), expected[0], 2e-5, network.text, floor=1e-3)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_random_graphs(first):
    for seed in range(first, first + 20):
        network = cases.random_graph(seed)
        rows = len(network.inputs[0])
        found = compile_description(describe_graph(network.graph), "float64").predict(*network.inputs)
        expected = Model(network.graph, "float64", max_rows=rows, training=False).predict(network.inputs)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_close(a.reshape(b.shape), b, 1e-11, f"{network.text} output {i}", floor=1)
        targets = [target for target in network.targets if target is not None]
        if not targets:
            continue
        model = Model(network.graph, "float64", max_rows=rows, optimizer="adam", hyper={"learning_rate": 0.01})
        compiled = compile_description(describe_graph(network.graph, optimizer="adam"), "float64", train=True, rows=rows)
        for step in range(3):
            model.train(network.inputs, network.targets, rows, step=step)
            compiled.train(network.inputs, targets, learning_rate=0.01)
        assert_weights([compiled.weight(i) for i in range(len(model.weights))], model.weights, 1e-10, network.text)


# ---- sequences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, "rows", "steps"])
def test_masked_steps_do_not_count(weights):
    layers = [fn.layers.Masking(0.0), fn.layers.SimpleRNN(4, return_sequences=True), fn.layers.Dense(3, "softmax")]
    model = fn.Sequential([fn.Input((5, 2)), *layers], seed=0, dtype="float64")
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    compiled = compile_network(model, batch_size=4)
    random = np.random.default_rng(0)
    for _ in range(10):
        x, y = random.normal(size=(4, 5, 2)), random.integers(0, 3, (4, 5))
        for row, length in enumerate(random.integers(1, 6, 4)):
            x[row, length:] = 0
        given = None if weights is None else random.uniform(0, 2, (4, 5) if weights == "steps" else 4)
        each = None if weights is None else [np.broadcast_to(given.reshape(4, -1), (4, 5))]
        expected = model.train_on_batch(x, y, sample_weight=given)
        assert_close(compiled.train([x], [y], each, learning_rate=0.01), expected, 1e-11)
    assert_close(compiled.predict(x)[0].reshape(4, 5, 3), model.predict(x), 1e-11)
