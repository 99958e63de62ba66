"""Steps that pass through Python: forward, backward, apply_gradients, and losses that are functions."""

import numpy as np
import pytest
from networks import Reference, classes, network, regression, rejects, rows, same_weights

import fastnet as fn
from fastnet import _core, layers

SGD, Adam = fn.optimizers.SGD, fn.optimizers.Adam


def mse(t, p):
    t = np.reshape(t, p.shape)
    return np.mean((p - t) ** 2), 2 * (p - t) / p.size


def cross_entropy(labels, z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(z))
    value = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    return value, p / len(z)


# ---- the loop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [1, 4, 40, 300])
@pytest.mark.parametrize("features", [3, 7, 130, 260])
def test_rows_do_not_depend_on_how_many_there_are(features, units, isa, dtype):
    """Outputs and input gradients of a dense layer, bit by bit: which sums are made follows from its shape alone."""
    model = network(units, features=features, dtype=dtype)
    model.compile("sgd", "mse", n_threads=1)
    x, dy = rows(64, features).astype(dtype), rows(64, units, seed=1).astype(dtype)
    found = []
    for n in (64, 1, 2, 5, 8, 9):
        y = model.forward(x[:n], training=True)
        found.append((n, y.copy(), model.backward(dy[:n]).copy()))
    for n, y, dx in found[1:]:
        assert np.array_equal(y, found[0][1][:n]) and np.array_equal(dx, found[0][2][:n])


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, True), Adam(0.01), SGD(lambda step: 0.1 / (1 + step))],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_the_loop_is_fit(optimizer):
    x, y = rows(23, 4), rows(23, 2)
    fitted, looped = (regression(5, 2, optimizer=type(optimizer).from_config(optimizer.get_config())) for _ in range(2))
    for epoch in range(3):
        history = fitted.fit(x, y, batch_size=5, shuffle=False, verbose=0)
        total = 0
        for i in range(0, 23, 5):
            t = y[i : i + 5]
            value, gradient = mse(t, looped.forward(x[i : i + 5]))
            looped.backward(gradient)
            looped.apply_gradients()
            total += len(t) * value
        np.testing.assert_allclose(history.history["loss"][0], total / 23, rtol=1e-12)
        for a, b in zip(fitted.get_weights(), looped.get_weights()):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)
    assert fitted.optimizer.iterations == looped.optimizer.iterations == 15


def test_gradients_are_those_of_the_reference():
    x, y = rows(9, 4), rows(9, 2)
    model = regression(5, 3, 2)
    peer = Reference(model, "mean_squared_error", "sgd", learning_rate=0.1, momentum=0.0, nesterov=False)
    value, expected, dx = peer.gradients(x, y)
    ours, gradient = mse(y, model.forward(x))
    found = model.backward(gradient)
    np.testing.assert_allclose(ours, value, rtol=1e-13)
    np.testing.assert_allclose(found, dx, rtol=1e-11, atol=1e-15)
    flat = [gradient for group in expected for gradient in group]
    assert len(model.gradients) == len(flat)
    for a, b in zip(model.gradients, flat):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-15)
    assert same_weights(model, regression(5, 3, 2)), "nothing is updated before apply_gradients"


def test_dx_by_finite_differences():
    x = rows(3, 4)
    model = network(5, 3, activation="gelu", last="softmax")
    dy = rows(3, 3, seed=1)
    model.forward(x)
    dx = model.backward(dy)
    assert dx.shape == x.shape and dx.dtype == np.float64
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        slope = np.sum(dy * (model.predict(x + step) - model.predict(x - step))) / 2e-6
        assert dx[index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_backward_replaces_the_gradients():
    x = rows(6, 4)
    model = network(5, 2)
    first, second = rows(6, 2, seed=1), rows(6, 2, seed=2)
    results = []
    for dy in (first, second, first + second):
        model.forward(x)
        dx = model.backward(dy)
        results.append([dx, *(gradient.copy() for gradient in model.gradients)])
    for a, b, both in zip(*results):
        np.testing.assert_allclose(a + b, both, rtol=1e-10, atol=1e-13)


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    memory[:] = np.frombuffer(array.tobytes(), np.uint8)
    return memory.view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize("other", [unaligned, np.asfortranarray, np.ndarray.tolist, lambda a: a.astype(">f8"), lambda a: [a]])
def test_gradients_in_other_forms(other):
    x, dy = rows(6, 4), rows(6, 2, seed=1)
    model = network(5, 2)
    model.forward(x)
    expected = [model.backward(dy), *(gradient.copy() for gradient in model.gradients)]
    model.forward(x)
    found = [model.backward(other(dy)), *model.gradients]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


def test_what_changes_between_steps_of_as_many_rows():
    """A plan is used again only where it would be made again: not for other layers to train, or after other calls."""
    x, dy = rows(6, 4), rows(6, 2, seed=1)
    inputs = fn.Input((4,))
    first = layers.Dense(5)
    model = fn.Model(inputs, layers.Dense(2)(first(inputs)), seed=0, dtype="float64")

    def gradients():
        model.forward(x)
        model.backward(dy)
        return [gradient.copy() for gradient in model.gradients]

    before = gradients()
    first.trainable = False
    assert len(gradients()) == 2
    model.predict(rows(6, 4, seed=2))
    assert [g.tobytes() for g in gradients()] == [g.tobytes() for g in before[2:]]
    first.trainable = True
    assert [g.tobytes() for g in gradients()] == [g.tobytes() for g in before]
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert not np.array_equal(gradients()[0], before[0])


def test_gradients_may_be_changed_before_they_are_applied():
    x = rows(6, 4)
    model = regression(5, 2, optimizer=SGD(0.1))
    before = model.get_weights()
    model.forward(x)
    model.backward(np.ones((6, 2)))
    for gradient in model.gradients:
        np.clip(gradient, -0.01, 0.01, out=gradient)
    clipped = [gradient.copy() for gradient in model.gradients]
    model.apply_gradients()
    for old, new, gradient in zip(before, model.get_weights(), clipped):
        np.testing.assert_allclose(new, old - 0.1 * gradient, rtol=1e-14)


def test_forward_without_training_is_predict():
    x = rows(6, 4)
    model = network(5, 2)
    assert np.array_equal(model.forward(x, training=False), model.predict(x))
    assert np.array_equal(model.forward(x), model.predict(x))


def test_other_calls_in_between_do_not_disturb_the_loop():
    x, y = rows(6, 4), rows(6, 2)
    plain, disturbed = regression(5, 2, optimizer="adam"), regression(5, 2, optimizer="adam")
    for _ in range(3):
        for model in (plain, disturbed):
            _, gradient = mse(y, model.forward(x))
            if model is disturbed:
                model.predict(rows(9, 4))
                model.evaluate(x, y)
            model.backward(gradient)
            if model is disturbed:
                model.predict(rows(2, 4))
                model.summary(print_fn=lambda text: None)
            model.apply_gradients()
    assert same_weights(plain, disturbed)


def test_batches_of_changing_size():
    model, peer = regression(5, 2, optimizer="adam"), None
    peer = Reference(model, "mean_squared_error", "adam", learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    for n in (1, 7, 3, 100, 2):
        x, y = rows(n, 4), rows(n, 2)
        _, gradient = mse(y, model.forward(x))
        model.backward(gradient)
        model.apply_gradients()
        peer.step(x, y)
    peer.assert_same(model, rtol=1e-10)


def test_fit_and_the_loop_go_on_from_each_other():
    """They share the optimizer: its steps and its moments."""
    x, y = rows(6, 4), rows(6, 2)
    mixed, fitted = regression(5, 2, optimizer="adam"), regression(5, 2, optimizer="adam")
    fitted.fit(x, y, epochs=3, shuffle=False, verbose=0)
    mixed.fit(x, y, shuffle=False, verbose=0)
    _, gradient = mse(y, mixed.forward(x))
    mixed.backward(gradient)
    mixed.apply_gradients()
    mixed.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(mixed.get_weights(), fitted.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_several_inputs_and_outputs():
    a, b = fn.Input((4,)), fn.Input((3,))
    h = layers.Dense(3, "tanh")(a)
    model = fn.Model([a, b], [layers.Add()([h, b]), h], seed=0, dtype="float64")
    x = [rows(5, 4), rows(5, 3)]
    outputs = model.forward(x)
    assert [y.shape for y in outputs] == [(5, 3), (5, 3)]
    dy = [rows(5, 3, seed=1), rows(5, 3, seed=2)]
    slope = 1 - outputs[1] ** 2
    (kernel, _), names = model.get_weights(), model.output_names
    for given, through_h, db in [
        (dy, dy[0] + dy[1], dy[0]),
        (dict(zip(names, dy)), dy[0] + dy[1], dy[0]),
        ([None, dy[1]], dy[1], 0 * dy[0]),
        ([dy[0], None], dy[0], dy[0]),
    ]:
        model.forward(x)
        da, found = model.backward(given)
        np.testing.assert_allclose(da, (through_h * slope) @ kernel.T, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(found, db, rtol=1e-14, atol=0)
        np.testing.assert_allclose(model.gradients[0], x[0].T @ (through_h * slope), rtol=1e-11, atol=1e-13)


def test_a_generator_learns_through_a_frozen_judge():
    judge, maker = regression(5, 1, seed=1), regression(6, 4, seed=2, optimizer=SGD(0.1))
    x = rows(8, 4)
    before = judge.get_weights(), maker.get_weights()
    made = maker.forward(x)
    score = judge.forward(made)
    maker.backward(judge.backward(np.full_like(score, -1 / 8)))
    maker.apply_gradients()
    assert same_weights(judge, before[0]) and not same_weights(maker, before[1])
    assert judge.predict(maker.predict(x)).mean() > score.mean()


def test_float32_loops_too():
    model = regression(5, 2, dtype="float32")
    y = model.forward(rows(6, 4))
    dx = model.backward(np.ones((6, 2), np.float64))
    model.apply_gradients()
    assert y.dtype == dx.dtype == model.gradients[0].dtype == np.float32


def test_steps_out_of_order():
    model, x = regression(5, 2), rows(6, 4)
    for call in (lambda: model.backward(np.ones((6, 2))), model.apply_gradients):
        with rejects(model, RuntimeError, "forward(x, training=True)"):
            call()
    model.forward(x, training=False)
    with rejects(model, RuntimeError, "forward(x, training=True)"):
        model.backward(np.ones((6, 2)))
    model.forward(x)
    with rejects(model, RuntimeError, "backward"):
        model.apply_gradients()
    model.backward(np.ones((6, 2)))
    with rejects(model, RuntimeError, "once"):
        model.backward(np.ones((6, 2)))
    uncompiled = network(2)
    uncompiled.forward(x)
    uncompiled.backward(np.ones((6, 2)))
    with rejects(uncompiled, RuntimeError, "compiled first"):
        uncompiled.apply_gradients()
    uncompiled.compile(SGD(0.1), "mse")
    before = uncompiled.get_weights()
    uncompiled.forward(x)
    uncompiled.backward(np.ones((6, 2)))
    uncompiled.apply_gradients()
    assert not same_weights(before, uncompiled)


@pytest.mark.parametrize("dy, error, words", [
    (np.ones((6, 3)), ValueError, ["dy", "'dense_1'", "(6, 3)", "(6, 2)"]),
    (np.ones((5, 2)), ValueError, ["dy", "(5, 2)", "(6, 2)"]),
    (np.ones(6), ValueError, ["dy", "(6,)"]),
    (1.0, ValueError, ["dy", "single number"]),
    ([[1, 2], [3]], ValueError, ["dy"]),
    (np.full((6, 2), "a"), TypeError, ["dy", "dtype"]),
    ({"other": np.ones((6, 2))}, ValueError, ["dy", "'other'", "'dense_1'"]),
])  # fmt: skip
def test_gradients_that_do_not_fit(dy, error, words):
    model = regression(5, 2)
    model.forward(rows(6, 4))
    with rejects(model, error, *words):
        model.backward(dy)
    model.backward(np.ones((6, 2)))


# ---- losses that are functions -----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_function_trains_like_the_loss_it_computes(optimizer):
    x, y = rows(23, 4), rows(23, 2)
    builtin, custom = regression(5, 2, optimizer=optimizer), regression(5, 2, optimizer=optimizer, loss=mse)
    histories = [
        model.fit(x, y, batch_size=5, epochs=3, validation_split=0.2, verbose=0).quantities for model in (builtin, custom)
    ]
    for a, b in zip(builtin.get_weights(), custom.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    for name in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-12)
    assert custom.optimizer.iterations == 12
    np.testing.assert_allclose(custom.evaluate(x, y), builtin.evaluate(x, y), rtol=1e-12)
    np.testing.assert_allclose(custom.evaluate(x, y, batch_size=4), builtin.evaluate(x, y), rtol=1e-12)
    np.testing.assert_allclose(custom.train_on_batch(x, y), builtin.train_on_batch(x, y), rtol=1e-12)


def test_a_function_takes_targets_as_they_were_given():
    x, y = rows(23, 4), classes(23, 3)
    seen = []

    def loss(labels, z):
        if isinstance(z, np.ndarray):  # and not symbolic, as it is tried first
            seen.append((labels.dtype, labels.shape, z.dtype, z.shape))
        return cross_entropy(labels, z)

    custom, builtin = network(3), network(3)
    custom.compile("adam", loss, metrics=[fn.metrics.SparseCategoricalAccuracy(name="accuracy")])
    builtin.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    for model in (custom, builtin):
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert seen[0] == (np.int64, (8,), np.float64, (8, 3)) and seen[2][1] == (7,)
    for a, b in zip(builtin.get_weights(), custom.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(custom.evaluate(x, y), builtin.evaluate(x, y), rtol=1e-12)


def test_functions_and_losses_together():
    tensor = fn.Input((4,))
    x, y = rows(11, 4), [rows(11, 2), rows(11, 3)]
    models = []
    for losses in (["mse", "mae"], [mse, "mae"]):
        model = fn.Model(tensor, [layers.Dense(2)(tensor), layers.Dense(3)(tensor)], seed=1, dtype="float64")
        model.compile("adam", losses, loss_weights=[0.3, 2], metrics=[["mse"], ["mse"]])
        models.append((model, model.fit(x, y, batch_size=4, epochs=2, verbose=0)))
    (a, first), (b, second) = models
    for u, v in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_allclose(u, v, rtol=1e-12, atol=1e-14)
    for name in set(first.history) - {"seconds"}:
        np.testing.assert_allclose(first.history[name], second.history[name], rtol=1e-12)


def test_a_function_may_train_in_float32():
    model = regression(5, 2, loss=mse, dtype="float32")
    losses = model.fit(rows(40, 4), rows(40, 2), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("loss, error, words", [
    (lambda t, p: 1.0, TypeError, ["(value, gradient)", "float"]),
    (lambda t, p: (1.0, p, p), TypeError, ["(value, gradient)"]),
    (lambda t, p: (1.0, p[:1]), ValueError, ["gradient", "(1, 2)", "(6, 2)"]),
    (lambda t, p: (1.0, "a"), TypeError, ["(value, gradient)", "'a'"]),
    (lambda t, p: ("a", p), TypeError, ["(value, gradient)", "'a'"]),
    (lambda t, p: 1 / 0, ZeroDivisionError, []),
    (lambda t, p: (np.nan, p), FloatingPointError, ["nan", "step 0"]),
    (lambda t, p: (np.inf, p), FloatingPointError, ["inf", "step 0"]),
])  # fmt: skip
def test_functions_that_are_no_losses(loss, error, words):
    model = regression(5, 2, loss=loss)
    for call in (model.fit, model.train_on_batch):
        with rejects(model, error, *words):
            call(rows(6, 4), rows(6, 2))


def test_weights_do_not_reach_functions():
    model = regression(5, 2, loss=mse)
    for given in ({"sample_weight": np.ones(6)}, {"class_weight": {0: 1}}):
        with rejects(model, ValueError, "sample_weight and class_weight do not reach"):
            model.fit(rows(6, 4), np.zeros(6), **given)


def test_a_function_that_diverges_leaves_the_weights_from_before():
    def loss(t, p):
        value, gradient = mse(t, p)
        return (np.nan if model.optimizer.iterations == 3 else value), gradient

    model, shorter = regression(5, 2, loss=loss), regression(5, 2, loss=mse)
    x, y = rows(20, 4), rows(20, 2)
    with pytest.raises(FloatingPointError, match="nan at step 3"):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    shorter.fit(x[:12], y[:12], batch_size=4, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 3 and same_weights(model, shorter)


# ---- interrupts ---------------------------------------------------------------------------------------------


class Interrupted:
    """A plan in whose update a signal arrives, which Python raises when the engine comes back."""

    def __init__(self, plan):
        self.plan = plan

    def run(self, parts, **arguments):
        self.plan.run(parts, **arguments)
        if parts & _core.UPDATE:
            raise KeyboardInterrupt

    def __getattr__(self, name):
        return getattr(self.plan, name)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "loss", ["mse", lambda y, p: (float(np.mean((p - y) ** 2)), 2 * (p - y) / p.size)], ids=["engine", "function"]
)
@pytest.mark.parametrize("call", ["fit", "train_on_batch"])
def test_the_counter_counts_the_step_in_which_an_interrupt_came(call, loss, every, monkeypatch):
    """Weights and counter are those of as many steps, whoever raises; of batches that wait for another none, after fit."""
    x, y = np.random.default_rng(0).normal(size=(6, 3)), np.ones((6, 1))
    models = []
    for _ in range(2):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0)
        model.compile(fn.optimizers.Adam(0.1, gradient_accumulation_steps=every), loss)
        model.fit(x, y, batch_size=3, epochs=2, verbose=0)
        models.append(model)
    get = models[0]._plans.get
    with monkeypatch.context() as patch:
        patch.setattr(models[0]._plans, "get", lambda *given, **named: Interrupted(get(*given, **named)))
        with pytest.raises(KeyboardInterrupt):
            models[0].train_on_batch(x, y) if call == "train_on_batch" else models[0].fit(x, y, batch_size=6, verbose=0)
    models[1].train_on_batch(x, y)
    expected = 4 + (call == "train_on_batch" or every == 1)
    assert models[0].optimizer.batches == expected
    assert all(np.array_equal(a, b) for a, b in zip(*(model.get_weights() for model in models)))
