"""Lazy updates: of a table with sparse gradients, the rows that a batch uses, and no others; against PyTorch and plain NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from networks import same_weights
from plans import Graph, Model

import fastnet as fn
from fastnet import _core, layers

optimizers = fn.optimizers
KERAS = {name: getattr(optimizers, name) for name in optimizers.keras.__all__}
LAZY = [name for name, cls in KERAS.items() if cls.lazy_form]
ROWS, WIDTH, UNUSED = 41, 5, 37  # rows from UNUSED on are in no batch


def batches(n=24, rows=8, seed=0):
    """Tokens, few of which are in the batch before, and targets."""
    random = np.random.default_rng(seed)
    tokens = (random.integers(0, 9, (n, rows, 3)) + random.integers(0, UNUSED - 8, (n, 1, 1))).reshape(-1, 3)
    return tokens, random.normal(size=(len(tokens), 3, WIDTH))


def make_model(optimizer, *, dtype="float64", n_threads=None, rows=ROWS, width=WIDTH, positions=3, **options):
    table = layers.Embedding(rows, width, "uniform", name="table", **options)
    model = fn.Sequential([fn.Input((positions,)), table], seed=1, dtype=dtype)
    model.compile(optimizer, "mse", n_threads=n_threads)
    return model


def slots_of(model):
    """The optimizer's arrays for the table, by name."""
    offset, shape = model._slab.offsets[model.layers[0].weights[0]], model.layers[0].embeddings.shape
    size = int(np.prod(shape))
    names = [name for name, _ in model.optimizer.slots()]
    return {name: slot[offset : offset + size].reshape(shape) for name, slot in zip(names, model._plans.slots.arrays())}


# ---- against others ------------------------------------------------------------------------------------

FILE = np.load(Path(__file__).parent / "traces" / "optimizers_sparse.npz")
TRACES = list(zip(json.loads(str(FILE["cases"])), FILE["weights"]))


def equivalent(case):
    """The same optimizer here; PyTorch's SparseAdam has its epsilon where Keras's Adam has it."""
    given, decay = dict(case["arguments"]), case["decay"]
    if case["class_name"] == "SparseAdam":
        beta_1, beta_2 = given.get("betas", (0.9, 0.999))
        rate = given["lr"]
        made = optimizers.Adam(rate, beta_1, beta_2, given.get("eps", 1e-8), lazy=True)
    else:
        made = getattr(optimizers.pytorch, case["class_name"])(**given, lazy=True)
        rate = made.learning_rate
    if decay != 1:
        made.learning_rate = lambda step: rate * decay**step
    return made


@pytest.mark.parametrize("number", range(len(TRACES)), ids=[f"{case['class_name']} {case['arguments']}" for case, _ in TRACES])
def test_trace_of_pytorch(number, isa):
    case, expected = TRACES[number]
    model = make_model(equivalent(case), rows=23, width=3, positions=2)
    model.set_weights([FILE["table"]])
    done = 0
    for step, table in zip(FILE["steps"], expected):
        x, y = FILE["tokens"][done:step].reshape(-1, 2), FILE["targets"][done:step].reshape(-1, 2, 3)
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], table, rtol=1e-10, atol=1e-13, err_msg=f"step {step}")
        done = step


AROUND = {
    "alone": {},
    "decay": {"weight_decay": 0.05},
    "coupled": {"weight_decay": 0.05},
    "clipvalue": {"clipvalue": 0.02},
    "clipnorm": {"clipnorm": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1, "weight_decay": 0.05},
}


class Plain:
    """The same in NumPy: each row by itself, where the batch has used it."""

    def __init__(self, optimizer, table):
        self.optimizer, self.entry = optimizer, reference.OPTIMIZERS[optimizer.kernel]
        self.hyper, self.table, self.step = optimizer.values(), table.astype(np.float64), 0
        self.slots = {name: np.full(table.shape, start) for name, start in self.entry.slots(self.hyper).items()}

    def fit(self, x, y, batch_size):
        for first in range(0, len(x), batch_size):
            self.update(x[first : first + batch_size], y[first : first + batch_size])

    def update(self, x, y):
        given, gradient = self.optimizer, np.zeros_like(self.table)
        np.add.at(gradient, x, 2 * (self.table[x] - y) / y.size)
        norm, bound = np.linalg.norm(gradient), given.clipnorm or given.global_clipnorm
        if bound:
            gradient = gradient * min(1, bound / norm)
        if given.clipvalue:
            gradient = np.clip(gradient, -given.clipvalue, given.clipvalue)
        rows = np.unique(x)
        w, g = self.table[rows], gradient[rows]
        if given.weight_decay and given.decoupled_weight_decay:
            w = w - self.hyper["learning_rate"] * given.weight_decay * w
        elif given.weight_decay:
            g = g + given.weight_decay * w
        slots = {name: slot[rows] for name, slot in self.slots.items()}
        self.table[rows], after = self.entry.update(w, g, slots, self.hyper, self.step)
        for name, slot in after.items():
            self.slots[name][rows] = slot
        self.step += 1


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("around", AROUND)
def test_against_plain_numpy(name, around, isa):
    x, y = batches()
    optimizer = KERAS[name](lazy=True, **AROUND[around])
    optimizer.decoupled_weight_decay = around != "coupled"
    model = make_model(optimizer)
    plain = Plain(optimizer, model.get_weights()[0])
    start = plain.table.copy()
    for _ in range(2):  # within one call, and over several
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        plain.fit(x, y, 8)
    found, slots = model.get_weights()[0], slots_of(model)
    np.testing.assert_allclose(found, plain.table, rtol=1e-9, atol=1e-12)
    for slot in plain.slots:
        np.testing.assert_allclose(slots[slot], plain.slots[slot], rtol=1e-8, atol=1e-13, err_msg=slot)
    assert np.array_equal(found[UNUSED:], start[UNUSED:]) and (found[:UNUSED] != start[:UNUSED]).any(axis=1).sum() > 30


def test_what_it_changes():
    """Otherwise momenta move rows that a batch does not use."""
    x, y = batches()
    for lazy in (False, True):
        model = make_model(optimizers.Adam(0.1, lazy=lazy))
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        before = model.get_weights()[0]
        model.train_on_batch(np.full((2, 3), 7), y[:2])
        moved = (model.get_weights()[0] != before).any(axis=1)
        assert moved[7] and (moved.sum() == 1) == lazy


# ---- with everything else ------------------------------------------------------------------------------


def test_all_rows_used_is_the_update_of_ever(dtype, isa):
    x = np.arange(ROWS // 3 * 3).reshape(-1, 3)
    y = np.random.default_rng(0).normal(size=(*x.shape, WIDTH))
    tables = []
    for lazy in (False, True):
        model = make_model(optimizers.Adam(0.01, weight_decay=0.1, lazy=lazy), rows=ROWS // 3 * 3, dtype=dtype)
        model.fit(x, y, batch_size=len(x), epochs=5, shuffle=False, verbose=0)
        tables.append(model.get_weights()[0])
    np.testing.assert_array_equal(*tables)


def tagger(optimizer, *, dtype="float64", n_threads=None):
    """A large table, a small one that is used twice, a masked recurrent layer, and dense weights."""
    x = fn.Input((6,))
    large, small = layers.Embedding(3000, 24, mask_zero=True), layers.Embedding(3000, 7)
    h = layers.LSTM(8)(large(x))
    h = layers.Concatenate()([h, layers.GlobalAveragePooling1D()(small(x)), layers.GlobalMaxPooling1D()(small(x))])
    model = fn.Model(x, layers.Dense(3)(layers.Dropout(0.3)(h)), seed=2, dtype=dtype)
    model.compile(optimizer, fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
    return model


def sentences(n=120, seed=0):
    random = np.random.default_rng(seed)
    return np.minimum(random.geometric(0.01, (n, 6)) - 1, 2999), random.integers(0, 3, n)


@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.1}, {"clipnorm": 0.1, "weight_decay": 0.01}], ids=str)
def test_the_same_bits_for_any_number_of_threads(options, dtype, isa):
    x, y = sentences()
    found = []
    for n_threads in (1, 2, 3):
        model = tagger(optimizers.Adam(0.01, lazy=True, **options), dtype=dtype, n_threads=n_threads)
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        found.append((history.history["loss"], *(weight.tobytes() for weight in model.get_weights())))
    assert found[0] == found[1] == found[2]


def test_resumed_to_the_last_bit(tmp_path):
    x, y = sentences()
    whole, half = (tagger(optimizers.Adam(0.01, lazy=True)) for _ in range(2))
    whole.fit(x, y, batch_size=16, epochs=4, verbose=0)
    options = {"batch_size": 16, "verbose": 0, "callbacks": [fn.callbacks.TrainingCheckpoint(tmp_path / "half")]}
    half.fit(x, y, epochs=2, **options)
    again = tagger(optimizers.Adam(0.01, lazy=True))
    again.fit(x, y, epochs=4, resume_from=tmp_path / "half", **options)
    assert same_weights(again, whole)
    half.save(tmp_path / "half.safetensors")
    assert fn.load_model(tmp_path / "half.safetensors").optimizer == half.optimizer


def test_many_at_once():
    x, y = sentences()
    alone, together = ([tagger(optimizers.Adam(0.01, lazy=True)) for _ in range(3)] for _ in range(2))
    for model in alone:
        model.fit(x, y, batch_size=16, verbose=0)
    fn.fit_many(together, x, y, batch_size=16, n_threads=3)
    for a, b in zip(alone, together):
        assert same_weights(a, b)


def test_a_table_that_another_operation_shares_is_updated_as_ever():
    """Its gradient is one of all rows."""
    found = []
    for lazy in (0, 1):
        graph = Graph()
        tokens, x = graph.input((3,)), graph.input((ROWS,))
        table = graph.parameter(np.random.default_rng(1).normal(size=(ROWS, WIDTH)))
        looked_up = graph.node("embedding", [tokens], [table], input_dim=ROWS, output_dim=WIDTH)
        graph.output(graph.dense(graph.reshape(looked_up, (3 * WIDTH,)), 2, seed=1), "mean_squared_error")
        graph.output(graph.dense(x, WIDTH, use_bias=False, parameters=[table]), "mean_squared_error")
        model = Model(graph, max_rows=8, optimizer="adam", hyper={"learning_rate": 0.01, "lazy": lazy})
        start = model.weights[0].copy()
        data = [np.arange(120).reshape(40, 3) % 5, np.cos(np.arange(40 * ROWS)).reshape(40, ROWS)]
        model.train(data, [np.ones((40, 2)), np.ones((40, WIDTH))], 8)
        found.append(model.state())
        assert (model.weights[0] != start).all()
    assert found[0] == found[1]


def test_a_table_with_a_penalty_is_updated_as_ever():
    x, y = batches()
    found = []
    for lazy in (False, True):
        model = make_model(optimizers.Adam(0.01, lazy=lazy), embeddings_regularizer=fn.regularizers.L2(1e-3))
        start = model.get_weights()[0]
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        found.append(model.get_weights()[0])
        assert (found[-1] != start).any(axis=1).all()
    np.testing.assert_array_equal(*found)


def test_a_table_that_is_used_twice():
    """As one table on inputs side by side."""
    x, y = batches()
    a, b = fn.Input((3,)), fn.Input((3,))
    table = layers.Embedding(ROWS, WIDTH)
    twice = fn.Model([a, b], layers.Concatenate(axis=1)([table(a), table(b)]), seed=1, dtype="float64")
    twice.compile(optimizers.Adam(0.01, lazy=True), "mse")
    once = make_model(optimizers.Adam(0.01, lazy=True), positions=6)
    once.set_weights(twice.get_weights())
    start = twice.get_weights()[0]
    data, targets = [x, x[::-1]], np.hstack([y, y[::-1]])
    twice.fit(data, targets, batch_size=8, epochs=2, shuffle=False, verbose=0)
    once.fit(np.hstack(data), targets, batch_size=8, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(twice.get_weights()[0], once.get_weights()[0], rtol=1e-9, atol=1e-12)
    assert np.array_equal(twice.get_weights()[0][UNUSED:], start[UNUSED:])


def test_a_custom_loop():
    """The same steps; and gradients that the caller has written count where they are not zero."""
    x, y = batches()
    fitted, looped = (make_model(optimizers.Adam(0.01, lazy=True)) for _ in range(2))
    fitted.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for first in range(0, len(x), 8):
        rows = slice(first, first + 8)
        looped.backward(2 * (looped.forward(x[rows], training=True) - y[rows]) / y[rows].size)
        looped.apply_gradients()
    np.testing.assert_allclose(looped.get_weights()[0], fitted.get_weights()[0], rtol=1e-9, atol=1e-12)
    before = looped.get_weights()[0]
    gradient = looped.layers[0].weights[0].gradient
    gradient[...] = 0
    gradient[[3, 40], [0, 4]] = 1e-9
    looped.apply_gradients()
    assert np.flatnonzero((looped.get_weights()[0] != before).any(axis=1)).tolist() == [3, 40]


def test_frozen_tables_and_constraints():
    x, y = batches()
    model = make_model(optimizers.Adam(0.1, lazy=True), embeddings_constraint=fn.constraints.MaxNorm(0.5, axis=1))
    model.fit(x, y, verbose=0)
    assert np.linalg.norm(model.get_weights()[0], axis=1).max() <= 0.5 + 1e-12
    model.layers[0].trainable = False
    before = model.get_weights()[0]
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)


# ---- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, cls in KERAS.items() if not cls.lazy_form and cls.kernel])
def test_optimizers_without_a_lazy_form(name):
    with pytest.raises(ValueError, match=f"{name} has no lazy form"):
        KERAS[name](lazy=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps=2"),
        ({"use_ema": True}, "use_ema=True"),
        ({"lookahead_steps": 5}, "lookahead_steps=5"),
        ({"swa_start": 0}, "swa_start=0"),
    ],
)
def test_combinations_without_a_meaning(options, message):
    with pytest.raises(ValueError, match=f"Adam: lazy=True does not go with .*got {message}"):
        optimizers.Adam(lazy=True, **options)


@pytest.mark.parametrize(
    ("kernel", "hyper", "message"),
    [(name, {}, "has no lazy form") for name, entry in reference.OPTIMIZERS.items() if entry.per_parameter]
    + [("adam", {"accumulation_steps": 2}, "no accumulation"), ("adam", {"ema_momentum": 0.9}, "no average")],
)
def test_the_engine_refuses_them_too(kernel, hyper, message):
    graph = Graph()
    graph.output(graph.input((1,)))
    graph.parameter(np.ones((8, 8)))
    hyper = {**_core.registry("optimizers")[kernel], **hyper, "lazy": 1}
    with pytest.raises(ValueError, match=f"optimizer '{kernel}'.*{message}"):
        Model(graph, max_rows=1, optimizer=kernel, hyper=hyper)
