"""Data on its way into a plan: gathering of batches, order of the epochs, checks of rows and labels."""

import numpy as np
import pytest
from plans import Graph, Model

from fastnet import _core

SOURCE_DTYPES = ["uint8", "int32", "int64", "float32", "float64"]


def identity(width, dtype, max_rows, scale=None, shift=None):
    """A model whose output is what was gathered."""
    graph = Graph()
    graph.output(graph.input((width,), scale, shift))
    return Model(graph, dtype, max_rows=max_rows, training=False)


def source(rows, width, dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        low, high = (0, 256) if dtype == "uint8" else (-1000, 1000)
        return random.integers(low, high, (rows, width)).astype(dtype)
    return random.normal(size=(rows, width)).astype(dtype)


# ---- gather ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source_dtype", SOURCE_DTYPES)
def test_rows_are_converted(isa, dtype, source_dtype):
    for width in (1, 3, 7, 8, 9, 16, 31, 64, 65):
        x = source(13, width, source_dtype)
        y = identity(width, dtype, 5).predict([x], batch_size=5)[0]
        assert np.array_equal(y, x.astype(dtype)), width


@pytest.mark.parametrize("source_dtype", SOURCE_DTYPES)
def test_scale_and_shift_are_computed_in_float64(isa, dtype, source_dtype):
    random = np.random.default_rng(1)
    for width in (1, 5, 16, 33):
        scale, shift = random.normal(size=width), random.normal(size=width)
        x = source(11, width, source_dtype)
        for a, b in [(scale, shift), (scale, None), (None, shift)]:
            y = identity(width, dtype, 4, a, b).predict([x], batch_size=4)[0]
            expected = x.astype(np.float64) * (1 if a is None else a) + (0 if b is None else b)
            np.testing.assert_allclose(y, expected.astype(dtype), rtol=2 * np.finfo(dtype).eps, atol=1e-300)


@pytest.mark.parametrize("source_dtype", SOURCE_DTYPES)
def test_rows_may_be_slices_of_a_wider_array(dtype, source_dtype):
    wide = source(20, 12, source_dtype)
    for x in (wide[:, 3:8], wide[::2, 3:8], wide[::-1, :5], np.broadcast_to(wide[:1, :5], (20, 5))):
        y = identity(5, dtype, 4).predict([x], batch_size=4)[0]
        assert np.array_equal(y, x.astype(dtype))


def test_rows_of_higher_rank_are_read_in_order(dtype):
    x = np.arange(4 * 2 * 3 * 5, dtype="float32").reshape(4, 2, 3, 5)
    graph = Graph()
    graph.output(graph.input((2, 3, 5)))
    assert np.array_equal(Model(graph, dtype, max_rows=4, training=False).predict([x])[0], x)


def test_order_names_the_rows(dtype):
    """The order may leave rows out and repeat them; outputs lie in the order of visit."""
    x = source(50, 3, "float64")
    order = np.random.default_rng(0).integers(0, 50, 50)
    model = identity(3, dtype, 7)
    y = model.output_arrays(40)
    model.plan.run(_core.FORWARD | _core.FETCH, n_rows=40, batch_size=7, inputs=[x], outputs=y, order=order)
    assert np.array_equal(y[0], x[order[:40]].astype(dtype))


@pytest.mark.parametrize(("row", "place"), [(50, 0), (-1, 0), (2**40, 49)])
def test_order_outside_the_rows(row, place):
    """It is found before anything is read, wherever in the order it stands; a right order is taken afterwards."""
    x = np.arange(100, dtype=np.float32).reshape(50, 2)
    model = identity(2, "float32", 7)
    y = [np.zeros((40, 2), np.float32)]
    wrong = np.arange(50)
    wrong[place] = row
    for order in (wrong, wrong.copy()):
        with pytest.raises(ValueError, match=rf"order holds row {row}, .* from 0 to 49"):
            model.plan.run(_core.FORWARD | _core.FETCH, n_rows=40, batch_size=7, inputs=[x], outputs=y, order=order)
        assert not y[0].any()
    order = np.arange(50)[::-1].copy()
    model.plan.run(_core.FORWARD | _core.FETCH, n_rows=40, batch_size=7, inputs=[x], outputs=y, order=order)
    assert np.array_equal(y[0], x[order[:40]])


def test_the_last_batch_may_be_smaller(dtype):
    x = source(23, 4, "float64")
    for batch_size in (1, 5, 22, 23):
        assert np.array_equal(identity(4, dtype, 23).predict([x], batch_size)[0], x.astype(dtype))


def test_first_row_and_next_row_divide_a_pass(dtype):
    x = source(23, 4, "float64")
    model = identity(4, dtype, 5)
    y = model.output_arrays(23)
    for first, stop, expected_steps in [(0, 10, 2), (10, 12, 1), (12, 23, 3)]:
        row, steps = model.plan.run(
            _core.FORWARD | _core.FETCH, n_rows=stop, batch_size=5, first_row=first, inputs=[x], outputs=y
        )
        assert (row, steps) == (stop, expected_steps)
    assert np.array_equal(y[0], x.astype(dtype))


# ---- shuffle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1000, 8192, 8193, 131073])
def test_shuffle_is_a_permutation(n):
    assert np.array_equal(np.sort(_core.shuffle(3, 4, n)), np.arange(n))


def test_shuffle_is_a_function_of_seed_epoch_and_size():
    first = _core.shuffle(7, 2, 100)
    np.random.default_rng(0).normal(size=10)
    _core.shuffle(8, 2, 100)
    assert np.array_equal(_core.shuffle(7, 2, 100), first)
    others = [
        _core.shuffle(8, 2, 100),
        _core.shuffle(7, 3, 100),
        _core.shuffle(2, 7, 100),
        _core.shuffle(7 | 1 << 40, 2, 100),
        _core.shuffle(7, 2 | 1 << 40, 100),
        _core.shuffle(7, 2, 101)[:100],
    ]
    for other in others:
        assert np.count_nonzero(other == first) < 15


def test_shuffle_leaves_the_generator_of_numpy_alone():
    before = np.random.get_state(legacy=True)
    _core.shuffle(0, 0, 1000)
    after = np.random.get_state(legacy=True)
    assert np.array_equal(before[1], after[1]) and before[2:] == after[2:]


def test_shuffle_is_uniform():
    """Chi-square of where each element comes to lie, and of all orders of four."""
    n, epochs = 12, 6000
    counts = np.zeros((n, n))
    for epoch in range(epochs):
        counts[np.arange(n), _core.shuffle(1, epoch, n)] += 1
    statistic = ((counts - epochs / n) ** 2 / (epochs / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)

    orders, repetitions = {}, 4800
    for epoch in range(repetitions):
        key = tuple(_core.shuffle(epoch, 0, 4))
        orders[key] = orders.get(key, 0) + 1
    assert len(orders) == 24
    statistic = sum((count - repetitions / 24) ** 2 / (repetitions / 24) for count in orders.values())
    assert abs(statistic - 23) < 4 * np.sqrt(2 * 23)


@pytest.mark.parametrize("n", [4096, 10_000, 140_000])
def test_shuffle_is_uniform_for_many_rows(n):
    """Chi-square of the parts of the order that the parts of the rows come to lie in, and of their neighbours."""
    parts, epochs = 16, 40
    places, neighbours = np.zeros((parts, parts)), np.zeros((parts, parts))
    part = np.arange(n) * parts // n
    for epoch in range(epochs):
        order = _core.shuffle(5, epoch, n)
        np.add.at(places, (part, part[order]), 1)
        np.add.at(neighbours, (part[order[:-1]], part[order[1:]]), 1)
    sizes = np.bincount(part)
    expected = epochs * np.outer(sizes, sizes) / n
    for counts in (places, neighbours):
        statistic = ((counts - expected) ** 2 / expected).sum()
        freedom = (parts - 1) ** 2
        assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


# ---- checks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source_dtype", SOURCE_DTYPES)
def test_first_not_finite(source_dtype):
    x = np.ones((9, 5), source_dtype)
    assert _core.first_not_finite(x) == -1
    assert _core.first_not_finite(x[:0]) == -1
    if not source_dtype.startswith("float"):
        return
    for bad in (np.nan, np.inf, -np.inf):
        for row, column in [(0, 0), (4, 3), (8, 4)]:
            spoilt = x.copy()
            spoilt[row, column] = spoilt[-1, -1] = bad
            assert _core.first_not_finite(spoilt) == row
            assert _core.first_not_finite(spoilt[::-1]) == 0
            assert _core.first_not_finite(spoilt[:, :3]) == (0 if (row, column) == (0, 0) else -1)
    large = np.full((2, 3), np.finfo(source_dtype).max, source_dtype)
    assert _core.first_not_finite(large) == -1


@pytest.mark.parametrize("source_dtype", SOURCE_DTYPES)
def test_first_bad_label(source_dtype):
    y = np.array([0, 1, 2, 1, 0], source_dtype)
    assert _core.first_bad_label(y, 3) is None
    assert _core.first_bad_label(y[:0], 3) is None
    assert _core.first_bad_label(y, 2) == (2, 2.0)
    assert _core.first_bad_label(y.reshape(5, 1)[::-1], 1) == (1, 1.0)
    if source_dtype != "uint8":
        assert _core.first_bad_label(-y, 3) == (1, -1.0)
    if source_dtype.startswith("float"):
        assert _core.first_bad_label(y / 2, 3) == (1, 0.5)
        row, label = _core.first_bad_label(y * np.nan, 3)
        assert row == 0 and np.isnan(label)
