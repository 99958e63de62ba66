"""Predictions of a few rows take a short way; they are what the long way gives, and notice whatever has changed."""

import threading

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core


def network(dtype="float32", first=None, **compiled):
    layers = [fn.layers.Dense(7, activation="tanh"), fn.layers.Dense(3)]
    model = fn.Sequential([fn.Input((5,)), *([first] if first else []), *layers], seed=1, dtype=dtype)
    if compiled:
        model.compile(**compiled)
    return model


def rows(n, dtype=np.float32):
    return (10 * np.random.RandomState(n).rand(n, 5)).astype(dtype)


def long_way(model, x):
    """Saying the batch size that would be taken anyway leads around the short way."""
    return model.predict(x, batch_size=256)


def agrees(model, x):
    """Twice, so that the second call finds a plan that is ready."""
    expected = long_way(model, x)
    for _ in range(2):
        for predict in (model.predict, model.predict_on_batch):
            y = predict(x)
            assert y.dtype == expected.dtype and y.shape == expected.shape
            assert y.tobytes() == expected.tobytes()
    return expected


def is_ready(model, x):
    return model._plans.predictor.predict(x) is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.uint8, np.int32, np.int64])
def test_same_bits_for_every_type_and_number_of_rows(dtype, given):
    model = network(dtype)
    for n in (1, 2, 3, 4, 5, 31, 32, 33, 255, 256, 257, 600):
        x = rows(n, given)
        agrees(model, x)
        assert is_ready(model, x) == (n <= 256)


def test_several_threads_find_a_plan_that_is_ready():
    """One that another thread is using is not the only one, once there are several; and all give the same bits."""
    model, x = network(), rows(5)
    expected = long_way(model, x)
    first, second = (model._plans.take("predict", 5, None) for _ in range(2))
    model.predict(x)
    first.__enter__()
    assert not is_ready(model, x) and np.array_equal(model.predict(x), expected)  # by another plan, which is kept
    second.__enter__()
    first.__exit__()
    assert is_ready(model, x) and np.array_equal(model.predict(x), expected)
    first.__enter__()
    assert not is_ready(model, x)
    second.__exit__()
    assert is_ready(model, x) and np.array_equal(model.predict(x), expected)


def test_threads_that_predict_in_turn_get_what_they_ask_for():
    """Of few rows and of many, so that the interpreter is kept for some predictions and given up for others."""
    model = network()
    data = {n: rows(n) for n in (1, 20, 200)}
    expected = {n: long_way(model, x) for n, x in data.items()}
    wrong = []

    def work(n):
        for _ in range(300):
            if not np.array_equal(model.predict(data[n]), expected[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in data for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_are_arrays_of_their_own():
    model = network()
    a, b = rows(1), 2 * rows(1)
    first = model.predict_on_batch(a), model.predict_on_batch(a), model.predict_on_batch(b)
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])
    assert not np.shares_memory(first[0], first[1])


@pytest.mark.parametrize(
    "x",
    [
        rows(4)[::2],
        np.asfortranarray(rows(3)),
        rows(2).tolist(),
        rows(2).astype(np.float16),
        rows(2).astype(">f4"),
        [rows(2)],
        {"input": rows(2)},
    ],
    ids=["strided", "fortran", "list", "float16", "swapped", "list of one", "by name"],
)
def test_other_input_takes_the_long_way(x):
    model = network()
    model.predict(rows(2))
    assert not is_ready(model, x)
    agrees(model, x)


@pytest.mark.parametrize(
    "x, error, message",
    [
        (rows(2)[:, :4].copy(), ValueError, "shape"),
        (rows(2)[:0], ValueError, "empty"),
        (rows(2)[0], ValueError, "shape"),
        (np.ma.masked_array(rows(2), np.eye(2, 5)), TypeError, "masked"),
        (np.array([["a"] * 5]), TypeError, "dtype"),
        (rows(2).astype(complex), TypeError, "dtype"),
        (None, TypeError, "missing"),
    ],
)
def test_bad_input_is_an_error_still(x, error, message):
    model = network()
    model.predict_on_batch(rows(2))
    for predict in (model.predict, model.predict_on_batch):
        with pytest.raises(error, match=message):
            predict(x)


def test_check_finite_is_obeyed():
    model, x = network(), rows(2)
    x[1, 1] = np.nan
    assert np.isnan(model.predict(x)).any() and np.isnan(model.predict(x)).any()
    with pytest.raises(ValueError, match="nan in row 1"):
        model.predict(x, check_finite=True)


def test_sees_weights_that_change():
    model, x = network(optimizer="sgd", loss="mse"), rows(1)
    seen = [agrees(model, x)]
    model.layers[0].kernel[...] *= 0.5
    seen.append(agrees(model, x))
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    seen.append(agrees(model, x))
    model.fit(rows(40), rows(40)[:, :3], verbose=0)
    seen.append(agrees(model, x))
    model.train_on_batch(rows(4), rows(4)[:, :3])
    seen.append(agrees(model, x))
    assert len({y.tobytes() for y in seen}) == len(seen)


def test_sees_a_scaling_that_is_learnt_or_written():
    layer = fn.layers.Normalization()
    model, x = network(first=layer), rows(1)
    layer.adapt(rows(20))
    seen = [agrees(model, x)]
    layer.adapt(3 * rows(20))
    seen.append(agrees(model, x))
    layer.weights[0].value[...] *= 2
    seen.append(agrees(model, x))
    assert len({y.tobytes() for y in seen}) == 3


@pytest.mark.parametrize("average", [{"use_ema": True, "ema_momentum": 0.5}, {"swa_start": 1}])
def test_averages_are_what_predicts(average):
    model, x = network(optimizer=fn.optimizers.SGD(0.01, **average), loss="mse"), rows(1)
    before = agrees(model, x)
    model.fit(rows(40), rows(40)[:, :3], batch_size=8, verbose=0)
    after = agrees(model, x)
    assert is_ready(model, x) and not np.array_equal(before, after)
    model.compile("sgd", "mse")
    assert not np.array_equal(agrees(model, x), after) and is_ready(model, x)


def test_sees_an_average_asked_for_later():
    model, x = network(optimizer=fn.optimizers.SGD(0.01), loss="mse"), rows(1)
    agrees(model, x)
    model.optimizer.use_ema = True
    model.fit(rows(40), rows(40)[:, :3], batch_size=8, verbose=0)
    averaged = agrees(model, x)
    model.optimizer.use_ema = False
    assert not np.array_equal(agrees(model, x), averaged)


def test_sees_layers_that_change():
    model, x = network(), rows(1)
    before = agrees(model, x)
    model.add(fn.layers.Dense(2))
    assert agrees(model, x).shape == (1, 2)
    model.pop()
    assert np.array_equal(agrees(model, x), before)
    model.layers[0].trainable = False
    assert not is_ready(model, x)
    assert np.array_equal(agrees(model, x), before)


def test_sees_weights_that_move_to_another_slab():
    a, b = fn.Input((5,)), fn.Input((5,))
    one, other = fn.layers.Dense(4), fn.layers.Dense(4)
    first, second = fn.Model(a, one(a), seed=0), fn.Model(b, other(b), seed=1)
    x = rows(1)
    before = agrees(first, x), agrees(second, x)
    c = fn.Input((5,))
    both = fn.Model(c, fn.layers.Add()([one(c), other(c)]), seed=2)
    assert not is_ready(first, x)
    assert np.array_equal(agrees(first, x), before[0]) and np.array_equal(agrees(second, x), before[1])
    one.kernel[...] = 0
    assert np.array_equal(agrees(first, x), np.broadcast_to(one.bias, (1, 4)))
    agrees(both, x)


def test_sees_another_instruction_set():
    model, x = network(), rows(1)
    try:
        for isa in _core.available_isas():
            _core.select_isa(isa)
            assert not is_ready(model, x)
            agrees(model, x)
            assert model._latest_plan().info()["isa"] == isa
    finally:
        _core.select_isa()


def test_several_inputs_and_outputs_take_the_long_way():
    a, b = fn.Input((5,)), fn.Input((5,))
    hidden = fn.layers.Dense(3)(fn.layers.Add()([a, b]))
    model = fn.Model([a, b], [hidden, fn.layers.Activation("relu")(hidden)], seed=0)
    x = rows(1)
    for _ in range(3):
        first, second = model.predict_on_batch([x, 2 * x])
        assert np.array_equal(np.maximum(first, 0), second)


@pytest.mark.parametrize("width", [3, 2000])
def test_threads_predict_with_models_of_their_own(width):
    """Both with the GIL kept, as in short work, and without."""
    models = [fn.Sequential([fn.Input((5,)), fn.layers.Dense(width), fn.layers.Dense(width), fn.layers.Dense(3)], seed=seed)
              for seed in range(3)]  # fmt: skip
    x = rows(1)
    expected = [long_way(model, x) for model in models]
    wrong = []

    def predict(model, y):
        for _ in range(50):
            if not np.array_equal(model.predict_on_batch(x), y):
                wrong.append(model)

    threads = [threading.Thread(target=predict, args=pair) for pair in zip(models, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_large_batches_take_no_more_memory_than_their_rows():
    """Or a twelfth more. Small ones are rounded up to powers of two, so that calls of any size share a plan."""
    model = network()
    for rows_given, planned in ((66_000, 17 << 12), (1537, 13 << 7), (1536, 12 << 7), (1025, 17 << 6), (1000, 1024), (5, 8)):
        assert np.unique(model.predict(np.ones((rows_given, 5)), batch_size=rows_given), axis=0).shape == (1, 3)
        assert model._latest_plan().max_rows == planned


def sizes_planned(model, sizes):
    """The plans that predict batches of these sizes, by the long way."""
    plans = []
    for n in sizes:
        model.predict(rows(n), batch_size=n)
        plans.append(model._latest_plan())
    return plans


def test_a_service_of_many_batch_sizes_makes_each_plan_once():
    """More of them than there may be at least, as long as they are small."""
    model, sizes = network(), [1 << power for power in range(11)]
    assert sizes_planned(model, sizes) == sizes_planned(model, sizes)


def test_plans_that_take_much_memory_are_forgotten(monkeypatch):
    """Those not used for longest, whichever way it was; and the short way does not keep them."""
    monkeypatch.setattr(fn._plan_cache, "_KEPT_BYTES", 0)
    model, sizes = network(), [1 << power for power in range(8)]
    for n in (1, 2):
        agrees(model, rows(n))
    first = sizes_planned(model, sizes)
    assert is_ready(model, rows(1)) and is_ready(model, rows(2))
    model._plans._pools[next(iter(model._plans._pools))].was_used()  # that of one row was not, but for what comes now
    assert all(pool.memory >= 4 * 5 for pool in model._plans._pools.values())
    sizes_planned(model, [256])
    assert len(model._plans._pools) == 8 and not is_ready(model, rows(1)) and is_ready(model, rows(2))
    assert is_ready(model, rows(2))
    sizes_planned(model, [512])  # in place of that of 4 rows: that of 2 has just been used
    assert is_ready(model, rows(2))
    assert sizes_planned(model, [2, 8]) == [first[1], first[3]]
    assert sizes_planned(model, [4]) != [first[2]]


def test_plans_of_weights_that_have_moved_are_forgotten():
    model = network()
    agrees(model, rows(1))
    agrees(model, rows(40))
    fn.Model(model.inputs, fn.layers.Dense(2)(model.layers[0].output), seed=5)  # another slab
    agrees(model, rows(1))
    assert len(model._plans._pools) == 1
