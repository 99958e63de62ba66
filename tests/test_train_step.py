"""`TrainStep`: several models, losses and optimizers in one step.

The traces are PyTorch's, made by tools/dump_train_step_traces.py.
"""

import copy
import pathlib
import pickle

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core

ops, Adam, SGD = fn.ops, fn.optimizers.Adam, fn.optimizers.SGD
pytorch = fn.optimizers.pytorch
TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "train_step_pytorch.npz")
ROWS = 16


def dense(*widths, dtype="float64", seed=0):
    hidden = [fn.layers.Dense(n, "tanh") for n in widths[1:-1]]
    return fn.Sequential([fn.Input((widths[0],)), *hidden, fn.layers.Dense(widths[-1])], seed=seed, dtype=dtype)


# ---- against PyTorch --------------------------------------------------------------------------------------


SHARED = dense(2, 1)


def gan():
    generator, discriminator = dense(3, 8, 5), dense(5, 8, 1)

    def function(real, noise):
        fake = generator(noise)
        judge = ops.softplus(-discriminator(real)) + ops.softplus(discriminator(fake))
        return {"discriminator": (judge, discriminator), "generator": (ops.softplus(-discriminator(fake)), generator)}

    step = fn.TrainStep(function, [(5,), (3,)], seed=0)
    step.compile({"discriminator": pytorch.Adam(0.01, (0.5, 0.999)), "generator": pytorch.Adam(0.01, (0.5, 0.999))})
    return step, {"generator": generator, "discriminator": discriminator}


def actor_critic():
    critic, body, actor = dense(4, 8, 1), dense(4, 8), dense(8, 2)

    def function(state, action, reward, later):
        wanted = ops.stop_gradient(reward + 0.9 * critic(later))
        advantage = ops.stop_gradient(wanted - critic(state))
        logits = actor(ops.tanh(body(state)))
        logs = ops.log_softmax(logits)
        entropy = -ops.sum(ops.softmax(logits) * logs, axis=-1, keepdims=True)
        loss = -ops.sum(logs * action, axis=-1, keepdims=True) * advantage - 0.01 * entropy
        return {"critic": ((critic(state) - wanted) ** 2, critic), "actor": (loss, [body, actor])}

    step = fn.TrainStep(function, {"state": (4,), "action": (2,), "reward": (1,), "later": (4,)}, seed=0)
    step.compile({"critic": pytorch.Adam(0.02), "actor": pytorch.SGD(0.1, momentum=0.9)})
    return step, {"body": body, "actor": actor, "critic": critic}


def distillation():
    teacher, student = dense(6, 12, 4), dense(6, 3, 4)

    def function(x, label):
        hard = -ops.sum(ops.log_softmax(student(x)) * label, axis=-1)
        soft = -ops.sum(ops.log_softmax(student(x) / 3) * ops.softmax(teacher(x) / 3), axis=-1)
        return {"student": (0.3 * hard + 0.7 * 9 * soft, student)}

    step = fn.TrainStep(function, [(6,), (4,)], seed=0)
    step.compile({"student": pytorch.RMSprop(0.01)})
    return step, {"teacher": teacher, "student": student}


def contrastive():
    encoder = dense(5, 9, 3)

    def function(a, b, same):
        square = ops.sum((encoder(a) - encoder(b)) ** 2, axis=-1, keepdims=True)
        apart = ops.maximum(1 - ops.sqrt(square + 1e-9), 0) ** 2
        return {"encoder": (same * square + (1 - same) * apart, encoder)}

    step = fn.TrainStep(function, [(5,), (5,), (1,)], seed=0)
    step.compile({"encoder": pytorch.Adam(0.01)})
    return step, {"encoder": encoder}


def start(case):
    """A case with the weights of its trace, and its data."""
    step, models = case()
    for name, model in models.items():
        model.set_weights([TRACES[f"{case.__name__}/start/{name}/{i}"] for i in range(len(model.weights))])
    prefix = f"{case.__name__}/data/"
    return step, models, [TRACES[name] for name in TRACES.files if name.startswith(prefix)]


CASES = pytest.mark.parametrize("case", [gan, actor_critic, distillation, contrastive])


@CASES
def test_as_pytorch(case):
    step, models, data = start(case)
    batches = [slice(i, i + ROWS) for i in range(0, len(data[0]), ROWS)]
    losses = [list(step.train_on_batch([array[rows] for array in data], return_dict=True).values()) for rows in batches]
    np.testing.assert_allclose(losses, TRACES[f"{case.__name__}/losses"], rtol=1e-11)
    for name, model in models.items():
        for i, weight in enumerate(model.get_weights()):
            np.testing.assert_allclose(weight, TRACES[f"{case.__name__}/end/{name}/{i}"], rtol=1e-9, atol=1e-12)
    assert step.optimizers[step.output_names[0]].iterations == len(batches)


@CASES
def test_fit_makes_these_steps(case):
    step, models, data = start(case)
    history = step.fit(data, batch_size=ROWS, shuffle=False, verbose=0)
    losses = TRACES[f"{case.__name__}/losses"].mean(axis=0)
    np.testing.assert_allclose([history.history[name][0] for name in step.output_names], losses, rtol=1e-11)
    for name, model in models.items():
        for i, weight in enumerate(model.get_weights()):
            np.testing.assert_allclose(weight, TRACES[f"{case.__name__}/end/{name}/{i}"], rtol=1e-9, atol=1e-12)


# ---- against single models, and itself --------------------------------------------------------------------

RANDOM = np.random.default_rng(0)
REAL, NOISE = RANDOM.normal(2, 1, (75, 5)), RANDOM.normal(size=(75, 3))


def noisy_gan(dtype="float32", n_threads=None, d=None, g=None):
    """A GAN with dropout and batch normalisation."""
    layers = fn.layers
    generator = fn.Sequential(
        [fn.Input((3,)), layers.Dense(33), layers.BatchNormalization(), layers.Dropout(0.2), layers.Dense(5)], seed=0, dtype=dtype
    )
    discriminator = fn.Sequential(
        [fn.Input((5,)), layers.Dense(40, "relu", kernel_regularizer="l2"), layers.Dropout(0.3), layers.Dense(1)],
        seed=1,
        dtype=dtype,
    )

    def function(real, noise):
        fake = generator(noise)
        judge = ops.softplus(-discriminator(real)) + ops.softplus(discriminator(fake))
        return {"discriminator": (judge, discriminator), "generator": (ops.softplus(-discriminator(fake)), generator)}

    step = fn.TrainStep(function, [(5,), (3,)], seed=4)
    step.compile({"discriminator": d or Adam(0.01), "generator": g or Adam(0.02)}, n_threads=n_threads)
    return step


def scheduled():
    """Optimizers of which one is scheduled and clipped, and the other accumulates."""
    return {
        "d": Adam(fn.schedules.ExponentialDecay(0.01, 3, 0.9), global_clipnorm=0.5),
        "g": SGD(0.1, momentum=0.9, gradient_accumulation_steps=2, clipvalue=0.1),
    }


def same(a, b):
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


def test_fit_is_train_on_batch_again_and_again():
    whole, single = noisy_gan(**scheduled()), noisy_gan(**scheduled())
    history = whole.fit([REAL, NOISE], batch_size=16, epochs=4, verbose=0)
    logs = []
    for epoch in range(4):
        order = _core.shuffle(4, epoch, 75)
        for i in range(0, 75, 16):
            rows = order[i : i + 16]
            logs.append((len(rows), *single.train_on_batch([REAL[rows], NOISE[rows]])))
    assert same(whole, single)
    logs = np.array(logs)[-5:]
    np.testing.assert_allclose(history.history["discriminator"][-1], logs[:, 0] @ logs[:, 1] / 75, rtol=1e-6)
    assert whole.optimizers["generator"].iterations == 10
    assert list(history.history) == ["discriminator", "generator"]
    assert list(history.quantities) == [
        "discriminator", "generator", "discriminator_learning_rate", "discriminator_gradient_norm", "generator_learning_rate",
        "generator_gradient_norm", "seconds",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype):
    steps = [noisy_gan(dtype, n_threads) for n_threads in (1, 2, 3)]
    for step in steps:
        step.fit({"real": REAL, "noise": NOISE}, batch_size=32, epochs=3, verbose=0)
    assert same(steps[0], steps[1]) and same(steps[0], steps[2])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(0.01),
        lambda: Adam(fn.schedules.CosineDecay(0.02, 12), clipnorm=0.1),
        lambda: SGD(0.1, momentum=0.9, weight_decay=0.01, gradient_accumulation_steps=3),
        lambda: Adam(0.01, lookahead_steps=2),
    ],
)
def test_a_step_of_one_update_is_that_of_a_model(make):
    models = [
        fn.Sequential(
            [fn.Input((5,)), fn.layers.Dense(7, "tanh", kernel_regularizer="l2"), fn.layers.Dense(3)], seed=0, dtype="float64"
        )
        for _ in range(2)
    ]
    x, y = REAL, NOISE
    models[0].compile(make(), "mse")
    step = fn.TrainStep(lambda x, y: {"a": (ops.mean((models[1](x) - y) ** 2, axis=-1), models[1])}, [(5,), (3,)], seed=0)
    step.compile({"a": make()})
    curves = models[0].fit(x, y, epochs=4, batch_size=20, verbose=0).quantities
    history = step.fit([x, y], epochs=4, batch_size=20, verbose=0).quantities
    np.testing.assert_allclose(history["a"], curves["loss"], rtol=1e-12)
    np.testing.assert_allclose(history["a_gradient_norm"], curves["gradient_norm"], rtol=1e-12)
    assert history["a_learning_rate"] == curves["learning_rate"]
    for a, b in zip(models[0].get_weights(), models[1].get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_what_several_updates_use_is_the_same_in_all():
    """Random numbers too: with the weights as they are, the losses of two updates are equal."""
    a, b, c = dense(4, 3, seed=1), dense(3, 1, seed=2), dense(2, 2)
    drop = fn.layers.Dropout(0.5)

    def function(x, z):
        y = drop(ops.tanh(a(x)))
        return {"c": (ops.sum(c(z), axis=-1) + ops.sum(b(y), axis=-1), c), "b": (b(y), b), "a": (b(y), a)}

    step = fn.TrainStep(function, [(4,), (2,)], seed=0)
    step.compile({name: SGD(0.0) for name in "abc"})
    x, z = RANDOM.normal(size=(50, 4)), np.zeros((50, 2))
    first, second = step.train_on_batch([x, z]), step.train_on_batch([x, z])
    assert first[0] == pytest.approx(first[1], rel=1e-13) and first[1] == first[2]
    assert abs(first[1] - second[1]) > 1e-6


def test_weights_that_two_updates_train():
    """The second sees what the first has made of them, as steps of their own made one after another would."""

    def make(names):
        body, head, tail = dense(4, 6, seed=1), dense(6, 1, seed=2), dense(6, 1, seed=3)

        def function(x, y):
            hidden = ops.tanh(body(x))
            losses = {"a": ((head(hidden) - y) ** 2, [body, head]), "b": (ops.abs(tail(hidden) - y), [body, tail])}
            return {name: losses[name] for name in names}

        return fn.TrainStep(function, [(4,), (1,)], seed=0), (body, head, tail)

    (both, models), (a, first), (b, second) = make("ab"), make("a"), make("b")
    for step in (both, a, b):
        step.compile({name: Adam(0.01) for name in step.output_names})
    x, y = RANDOM.normal(size=(60, 4)), RANDOM.normal(size=(60, 1))
    both.fit([x, y], batch_size=10, shuffle=False, verbose=0)
    for i in range(0, 60, 10):
        a.train_on_batch([x[i : i + 10], y[i : i + 10]])
        second[0].set_weights(first[0].get_weights())
        b.train_on_batch([x[i : i + 10], y[i : i + 10]])
        first[0].set_weights(second[0].get_weights())
    for one, other in zip(models, (second[0], first[1], second[2])):
        assert all(np.array_equal(v, w) for v, w in zip(one.get_weights(), other.get_weights()))


def test_what_is_not_trained_stays_and_lets_gradients_through():
    step, models, data = start(gan)
    kept = models["discriminator"].get_weights()
    step.compile({"discriminator": SGD(0.0), "generator": SGD(0.1)})
    before = step.evaluate(data, return_dict=True)
    step.fit(data, epochs=3, batch_size=ROWS, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, models["discriminator"].get_weights()))
    assert step.evaluate(data, return_dict=True)["generator"] < before["generator"]


def test_penalties_count_where_they_are_trained():
    a = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, activity_regularizer="l2")], seed=0, dtype="float64")
    b = fn.Sequential([fn.Input((4,)), fn.layers.Dense(1, kernel_regularizer="l1")], seed=0, dtype="float64")
    step = fn.TrainStep(lambda x: {"b": (b(a(x)) ** 2, b), "a": (b(a(x)) ** 2, a)}, [(3,)], seed=0)
    step.compile("sgd")
    hidden = a.predict(NOISE)
    plain = (b.predict(hidden) ** 2).mean()
    step.compile({"a": SGD(0.0), "b": SGD(0.0)})
    logs = step.train_on_batch(NOISE, return_dict=True)
    assert logs["b"] == pytest.approx(plain + 0.01 * np.abs(b.weights[0].value).sum(), rel=1e-12)
    assert logs["a"] == pytest.approx(plain + 0.01 * (hidden**2).sum() / len(hidden), rel=1e-12)


def test_models_go_on_alone():
    step, models, data = start(gan)
    step.fit(data, batch_size=ROWS, verbose=0)
    generator = models["generator"]
    fake = generator.predict(data[1])
    generator.compile("sgd", "mse")
    generator.fit(data[1], data[0], verbose=0)
    assert not np.array_equal(fake, generator.predict(data[1]))
    step.fit(data, batch_size=ROWS, verbose=0)


def test_validation_and_callbacks():
    step = noisy_gan()
    stop = fn.callbacks.EarlyStopping("val_generator", patience=0, mode="max", restore_best_weights=True)
    history = step.fit([REAL, NOISE], epochs=6, validation_split=0.2, callbacks=[stop], verbose=0).history
    assert {"val_discriminator", "val_generator"} < set(history)
    given = noisy_gan().fit([REAL[:60], NOISE[:60]], validation_data=[REAL[60:], NOISE[60:]], verbose=0).history
    assert given["val_generator"][0] == history["val_generator"][0]


# ---- interrupted ------------------------------------------------------------------------------------------


class Crash(fn.callbacks.Callback):
    def __init__(self, batch):
        self.left = batch

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batch", [2, 4, 7, 10, 13])
def test_resumed_with_the_same_bits(batch, tmp_path):
    path = tmp_path / "step.safetensors"
    whole, part = noisy_gan(**scheduled()), noisy_gan(**scheduled())
    arguments = {"batch_size": 16, "epochs": 3, "verbose": 0}
    reference = whole.fit([REAL, NOISE], **arguments)
    saver = fn.callbacks.TrainingCheckpoint(path, every_steps=1)
    with pytest.raises(KeyboardInterrupt):
        part.fit([REAL, NOISE], **arguments, callbacks=[saver, Crash(batch)])
    resumed = noisy_gan(**scheduled())
    assert part.optimizers["generator"].batches == batch // 2 * 2  # half an accumulation is forgotten
    history = resumed.fit([REAL, NOISE], **arguments, resume_from=path, callbacks=[saver, Crash(-1)])
    assert same(whole, resumed)
    assert history.history["generator"] == pytest.approx(reference.history["generator"], rel=1e-12)


def test_a_checkpoint_of_another_step_is_refused(tmp_path):
    path = tmp_path / "step.safetensors"
    saver = fn.callbacks.TrainingCheckpoint(path)
    noisy_gan().fit([REAL, NOISE], verbose=0, callbacks=[saver])
    other = noisy_gan(d=SGD(0.1))
    before = other.get_weights()
    with pytest.raises(ValueError, match="optimizer_class='discriminator: Adam, generator: Adam'"):
        other.fit([REAL, NOISE], verbose=0, callbacks=[saver], resume_from=path)
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights()))


def test_interrupted_between_slices(monkeypatch):
    """Steps are counted by all optimizers in the moment in which they are made."""
    step, calls = noisy_gan(), []
    run = _core.run_sequence

    def interrupted(*arguments, **options):
        run(*arguments, **options)
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "run_sequence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step.fit([REAL, NOISE], batch_size=16, epochs=2, verbose=0)
    assert [optimizer.iterations for optimizer in step.optimizers.values()] == [5, 5] and calls == [1]


def test_a_loss_that_is_not_finite():
    """The update is named and left out; those before it have been made."""
    a, b = dense(2, 1), dense(2, 1, seed=1)
    step = fn.TrainStep(lambda x: {"a": (a(x) ** 2, a), "b": (ops.log(b(x) * 0 - 1), b)}, [(2,)])
    step.compile({"a": SGD(0.1), "b": SGD(0.1)})
    kept = [a.get_weights(), b.get_weights()]
    with pytest.raises(FloatingPointError, match="update 'b': the loss became nan at step 0"):
        step.fit(np.ones((8, 2)), batch_size=4, verbose=0)
    assert not np.array_equal(kept[0][0], a.get_weights()[0]) and np.array_equal(kept[1][0], b.get_weights()[0])
    assert [optimizer.iterations for optimizer in step.optimizers.values()] == [1, 0]


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda x, model: model(x), TypeError, "must return a dictionary"),
        (lambda x, model: {}, TypeError, "must return a dictionary"),
        (lambda x, model: {"a": model(x)}, TypeError, "must return a dictionary"),
        (lambda x, model: {"a": (1.0, model)}, TypeError, "'a': its loss must be a symbolic tensor"),
        (lambda x, model: {"a": (x, model)}, ValueError, r"'a': its loss has shape \(None, 2\), expected \(None,\)"),
        (lambda x, model: {"a": (ops.sum(x, axis=-1), model)}, ValueError, "'a': its loss depends on none of the weights"),
        (lambda x, model: {"a": (model(x), "model")}, TypeError, "'a': what is trained must be a model"),
        (lambda x, model: {"a": (model(x), [])}, TypeError, "'a': what is trained must be a model"),
    ],
)
def test_functions_that_name_no_updates(result, error, message):
    model = dense(2, 1)
    with pytest.raises(error, match=message):
        fn.TrainStep(lambda x: result(x, model), [(2,)])


@pytest.mark.parametrize(
    ("optimizers", "error", "message"),
    [
        ({"discriminator": "adam"}, ValueError, "expected one for each of"),
        (Adam(), TypeError, "a dictionary with an optimizer for each of"),
        (dict.fromkeys(["discriminator", "generator"], Adam()), ValueError, "'generator' has the optimizer of another one"),
        ({"discriminator": "adam", "generator": fn.optimizers.LBFGS()}, ValueError, "takes all rows at once"),
    ],
)
def test_optimizers_that_do_not_fit(optimizers, error, message):
    step, _ = gan()
    with pytest.raises(error, match=message):
        step.compile(optimizers)


def test_calls_that_a_step_has_not():
    step, _ = gan()
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        pickle.dumps(step)
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        copy.copy(step)
    with pytest.raises(RuntimeError, match="profile its models"):
        step.profile([REAL, NOISE])
    for call in (step.backward, step.apply_gradients):
        with pytest.raises(RuntimeError, match="train_on_batch"):
            call()
    with pytest.raises((TypeError, ValueError), match="call its fit"):
        fn.fit_many([step], [REAL, NOISE], verbose=0)
    with pytest.raises(AttributeError, match=r"step\.optimizers\[name\]"):
        step.fit([REAL, NOISE], verbose=0, callbacks=[fn.callbacks.ReduceLROnPlateau("generator", patience=0)], epochs=5)
    with pytest.raises(ValueError, match="'noise'"):
        step.fit([REAL, REAL], verbose=0)
    with pytest.raises(ValueError, match="rows"):
        step.fit([REAL, NOISE[:-1]], verbose=0)
    uncompiled = fn.TrainStep(lambda x: {"a": (SHARED(x), SHARED)}, [(2,)])
    with pytest.raises(RuntimeError, match="must be compiled first"):
        uncompiled.fit(np.ones((4, 2)), verbose=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [[REAL], [REAL, NOISE]]}, "got 1 inputs, expected 2"),
        ({"inputs": [[REAL, NOISE]]}, "got 2 plans, inputs of 1"),
        ({"inputs": [[REAL, REAL], [NOISE]]}, "expected 3 numbers in each row, got 5"),
        ({"hyper": [np.zeros(3), np.zeros(3)]}, "hyper must be an array of float64 with"),
        ({"order": np.full(75, 75)}, "order holds row 75"),
        ({"order": np.arange(74)}, "a number for each row"),
        ({"losses": np.zeros(1)}, "losses must be"),
        ({"squares": np.zeros(2, "f")}, "squares must be"),
        ({"n_rows": 76}, "at least 76 rows"),
        ({"batch_size": 17}, "batch_size must be between 1 and 16"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"first_row": 75}, "first row 75 of 75"),
        ({"first_row": -1}, "first row -1 of 75"),
    ],
)
def test_arguments_of_a_sequence_of_plans(changes, message):
    step, _ = gan()
    kept = step.get_weights()
    plans = [update._plans.get("train", 16) for update in step.updates]
    arguments = {
        "inputs": [[REAL, NOISE], [NOISE]], "hyper": [update._plans.hyper(1) for update in step.updates],
        "counters": [optimizer.counter for optimizer in step.optimizers.values()], "names": ["a", "b"], "n_rows": 75,
        "batch_size": 16, "losses": np.zeros(2), "squares": np.zeros(2),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        _core.run_sequence(plans, 15, **{**arguments, **changes})
    with pytest.raises(ValueError, match="a plan is given twice"):
        _core.run_sequence(plans[:1] * 2, 15, **arguments)
    assert all(np.array_equal(a, b) for a, b in zip(kept, step.get_weights()))
    assert _core.run_sequence(plans, 15, **arguments) == (75, 5)


# ---- updates that are not made in each batch ----------------------------------------------------------------


def test_an_update_of_some_batches():
    """As two steps that are called one by one, the second for each other batch; of 61 rows, with a smaller batch at the end of epochs."""
    step, models = gan()
    step.compile(step.optimizers | {"discriminator": pytorch.Adam(0.01, (0.5, 0.999))}, every={"generator": 2})
    _, others = gan()
    generator, discriminator = others["generator"], others["discriminator"]

    def judge(real, noise):
        loss = ops.softplus(-discriminator(real)) + ops.softplus(discriminator(generator(noise)))
        return {"discriminator": (loss, discriminator)}

    def make(noise):
        return {"generator": (ops.softplus(-discriminator(generator(noise))), generator)}

    judging, making = fn.TrainStep(judge, [(5,), (3,)], seed=0), fn.TrainStep(make, {"noise": (3,)}, seed=0)
    for one in (judging, making):
        one.compile(dict.fromkeys(one.output_names, pytorch.Adam(0.01, (0.5, 0.999))))
    history = step.fit([REAL[:61], NOISE[:61]], epochs=3, batch_size=25, shuffle=False, verbose=0).history
    losses, number = [], 0
    for _ in range(3):
        total = count = 0
        for first in (0, 25, 50):
            rows = slice(first, min(first + 25, 61))
            judging.train_on_batch([REAL[rows], NOISE[rows]])
            number += 1
            if number % 2 == 0:
                n = rows.stop - rows.start
                total, count = total + n * making.train_on_batch(NOISE[rows]), count + n
        losses.append(total / count)
    for name, model in models.items():
        for a, b in zip(model.get_weights(), others[name].get_weights()):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(history["generator"], losses, rtol=1e-12)
    assert step.optimizers["generator"].iterations == 4 and step.optimizers["discriminator"].iterations == 9


def test_an_update_that_is_not_made_in_an_epoch():
    step, _ = gan()
    step.compile(step.optimizers, every={"generator": 5})
    history = step.fit([REAL, NOISE], epochs=2, batch_size=25, verbose=0).quantities  # 3 batches each
    assert np.isnan(history["generator"][0]) and np.isfinite(history["generator"][1])
    assert history["generator_gradient_norm"][0] is None and history["discriminator_gradient_norm"][0] > 0


def test_shared_random_numbers_of_updates_that_are_made_at_times():
    """A value that two updates compute is the same in both, whichever steps their optimizers are at."""
    weights = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)], seed=0, dtype="float64")
    drawn = []

    def function(x):
        noise = fn.random.normal((None, 2))
        return {"all": (weights(x * noise)[:, 0], weights), "some": (weights(x * noise)[:, 0], weights)}

    step = fn.TrainStep(function, {"x": (2,)}, seed=3)
    step.compile({"all": SGD(0.0), "some": SGD(0.0)}, every={"some": 3})
    for _ in range(6):
        drawn.append(step.train_on_batch(np.ones((8, 2))))
    assert drawn[2][0] == drawn[2][1] and drawn[5][0] == drawn[5][1] and drawn[2] != drawn[5]


@pytest.mark.parametrize(
    ("every", "error"), [({"other": 2}, ValueError), ({"generator": 0}, ValueError), ({"generator": 1.5}, TypeError)]
)
def test_wrong_numbers_of_batches(every, error):
    step, _ = gan()
    with pytest.raises(error, match="every"):
        step.compile(step.optimizers, every=every)
