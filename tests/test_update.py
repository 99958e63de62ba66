"""What is done around every optimizer, alone and in combination, against plain NumPy: accumulation, penalties, clipping, weight
decay, moving average, lookahead, stochastic weight averaging, factors of the learning rate."""

import itertools

import numpy as np
import pytest
import reference
from plans import Graph, Model, assert_close

from fastnet import _core

SHAPES = [(60, 50), (50,), (7, 3), (3,)]  # the first takes more than one block
STEPS = 14

FEATURES = {
    "decay": {"weight_decay": 0.03},
    "coupled": {"weight_decay": 0.03, "decay_coupled": 1},
    "maximize": {"maximize": 1},
    "clipnorm": {"clipnorm": 0.7},
    "clipvalue": {"clipvalue": 0.2},
    "global_clipnorm": {"global_clipnorm": 1.1},
    "accumulation": {"accumulation_steps": 3},
    "average": {"ema_momentum": 0.8},
    "overwrite": {"ema_momentum": 0.8, "ema_overwrite_frequency": 4},
    "lookahead": {"lookahead_steps": 3, "lookahead_alpha": 0.3},
    "mean": {"mean_start": 2, "mean_period": 2},
}
ALONE = [(name,) for name in FEATURES]
CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
TOGETHER = [(decay, clip, "accumulation", average, "lookahead", "mean")
            for decay, clip, average in itertools.product(("decay", "coupled"), CLIPPING, ("average", "overwrite"))]  # fmt: skip
TOGETHER += [("maximize", "coupled", clip, "accumulation") for clip in CLIPPING]
#: For each parameter: whether it decays, the factor of its learning rate, and its penalties.
PARAMETERS = [(True, 1.0, 0.0, 0.02), (False, 1.0, 0.0, 0.0), (True, 0.5, 0.01, 0.0), (False, 2.0, 0.01, 0.03)]


def hyper_of(features, optimizer):
    base = {"learning_rate": 0.05, **({"momentum": 0.9} if optimizer == "sgd" else {})}
    return base | {key: value for name in features for key, value in FEATURES[name].items()}


def gradients_of(step):
    random = np.random.default_rng(step)
    return [random.normal(size=shape) * 0.3 for shape in SHAPES]


def start_values():
    random = np.random.default_rng(99)
    return [random.normal(size=shape) for shape in SHAPES]


class Plain:
    """The same in NumPy, one array after another, in the order that csrc/engine/update.c states."""

    def __init__(self, optimizer, hyper):
        self.entry = reference.OPTIMIZERS[optimizer]
        self.own = {**_core.registry("optimizers")[optimizer],
                    **{k: v for k, v in hyper.items() if k in _core.registry("optimizers")[optimizer]}}  # fmt: skip
        self.around = {**_core.registry("updates")["update"], **hyper}
        self.weights = start_values()
        self.slots = [{name: np.full(w.shape, start) for name, start in self.entry.slots(self.own).items()}
                      for w in self.weights]  # fmt: skip
        self.average, self.slow, self.mean = ([w.copy() for w in self.weights] for _ in range(3))
        self.sums, self.count, self.made, self.penalty, self.squares = None, 0, 0, 0.0, 0.0

    def step(self, gradients):
        penalized = []
        for w, g, (_, _, l1, l2) in zip(self.weights, gradients, PARAMETERS):
            self.penalty += l1 * np.abs(w).sum() + l2 * (w**2).sum()
            penalized.append(g + l1 * np.sign(w) + 2 * l2 * w)
        self.sums = penalized if self.count == 0 else [s + g for s, g in zip(self.sums, penalized)]
        self.count += 1
        if self.count == self.around["accumulation_steps"]:
            self.update()

    def update(self):
        around = self.around
        gradients = [s / self.count for s in self.sums]
        self.count = 0
        norms = [np.linalg.norm(g) for g in gradients]
        if around["global_clipnorm"]:
            whole = np.sqrt(sum(n**2 for n in norms))
            gradients = [g * min(1, around["global_clipnorm"] / whole) for g in gradients]
        if around["clipnorm"]:
            gradients = [g * min(1, around["clipnorm"] / n) for g, n in zip(gradients, norms)]
        if around["clipvalue"]:
            gradients = [np.clip(g, -around["clipvalue"], around["clipvalue"]) for g in gradients]
        if around["maximize"]:
            gradients = [-g for g in gradients]
        self.squares += sum((g**2).sum() for g in gradients)
        for i, (decays, factor, _, _) in enumerate(PARAMETERS):
            w, g = self.weights[i], gradients[i]
            hyper = {**self.own, "learning_rate": self.own["learning_rate"] * factor}
            if around["weight_decay"] and decays and around["decay_coupled"]:
                g = g + around["weight_decay"] * w
            elif around["weight_decay"] and decays:
                w = w - hyper["learning_rate"] * around["weight_decay"] * w
            w, self.slots[i] = self.entry.update(w, g, self.slots[i], hyper, self.made)
            self.weights[i] = self.follow(i, w)
        self.made += 1

    def follow(self, i, w):
        around, made = self.around, self.made
        if around["ema_momentum"]:
            momentum = around["ema_momentum"] if made else 0.0
            self.average[i] = momentum * self.average[i] + (1 - momentum) * w
            if around["ema_overwrite_frequency"] and (made + 1) % around["ema_overwrite_frequency"] == 0:
                w = self.average[i].copy()
        if around["lookahead_steps"] and (made + 1) % around["lookahead_steps"] == 0:
            self.slow[i] = self.slow[i] + around["lookahead_alpha"] * (w - self.slow[i])
            w = self.slow[i].copy()
        if around["mean_start"] >= 0 and made >= around["mean_start"]:
            since = int(made - around["mean_start"])
            if since % around["mean_period"] == 0:
                self.mean[i] = self.mean[i] + (w - self.mean[i]) / (since // around["mean_period"] + 1)
        return w


def make_model(optimizer, hyper, dtype, n_threads=1):
    graph = Graph()
    graph.output(graph.input((1,)))
    for array in start_values():
        graph.parameter(array)
    model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper, n_threads=n_threads)
    numbers = [(shape, offset, True, *more) for shape, offset, more in zip(SHAPES, model.offsets, PARAMETERS)]
    model.plan = _core.Plan(
        dtype=dtype,
        max_rows=1,
        training=True,
        inputs=[((1,), None, None)],
        nodes=[],
        parameters=numbers,
        outputs=[(0, None, None, 1.0, "output")],
        optimizer=optimizer,
        hyper=hyper,
        n_threads=n_threads,
        parameter_slab=model.parameter_slab,
        gradient_slab=model.gradient_slab,
        slots=model.slots,
    )
    return model


def run(model, steps, flush=False):
    penalty, squares = np.zeros(2), 0.0
    for step in range(steps):
        for view, gradient in zip(model.gradient_views, gradients_of(step)):
            view[...] = gradient
        model.plan.run(
            _core.UPDATE, n_rows=1, batch_size=1, step=step, hyper=model.hyper_row, loss_sum=penalty, gradient_squares=squares
        )
        squares = model.plan.gradient_squares
    if flush:
        model.plan.run(_core.UPDATE | _core.FLUSH, n_rows=1, batch_size=1, step=steps, hyper=model.hyper_row)
    return penalty[0], squares


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adan"])
@pytest.mark.parametrize("features", ALONE + TOGETHER, ids=" ".join)
def test_against_plain_numpy(features, optimizer, isa):
    hyper = hyper_of(features, optimizer)
    model, plain = make_model(optimizer, hyper, "float64"), Plain(optimizer, hyper)
    penalty, squares = run(model, STEPS)
    for step in range(STEPS):
        plain.step(gradients_of(step))
    for i, (view, expected) in enumerate(zip(model.weights, plain.weights)):
        assert_close(view, expected, 1e-12, f"{features} parameter {i}")
    names = [name for name, _ in model.slot_starts]
    for name in ("average", "slow", "mean"):
        if name in names:
            for view, expected in zip(model.slot_views(names.index(name)), getattr(plain, name)):
                assert_close(view, expected, 1e-12, f"{features} {name}")
    assert penalty == pytest.approx(plain.penalty, rel=1e-12)
    assert squares == pytest.approx(plain.squares, rel=1e-12)


@pytest.mark.parametrize("features", [("global_clipnorm", "average"), ("decay", "lookahead", "accumulation")], ids=" ".join)
def test_threads_do_not_change_a_bit(features, isa, dtype):
    hyper = hyper_of(features, "adam")
    found = []
    for n_threads in (1, 2, 3):
        model = make_model("adam", hyper, dtype, n_threads)
        sums = run(model, STEPS)
        found.append((*sums, model.parameter_slab.tobytes(), *(slot.tobytes() for slot in model.slots)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("steps", [4, 5, 6])
def test_what_is_left_of_an_accumulation_makes_a_step(steps):
    hyper = hyper_of(("accumulation",), "sgd")
    model, plain = make_model("sgd", hyper, "float64"), Plain("sgd", hyper)
    run(model, steps, flush=True)
    for step in range(steps):
        plain.step(gradients_of(step))
    if plain.count:
        plain.update()
    for view, expected in zip(model.weights, plain.weights):
        assert_close(view, expected, 1e-12, "flush")
