"""Mixup: rows and targets of a batch mixed with others of the same batch, the same for both and for all threads."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core

RANDOM = np.random.default_rng(0)


def mixed_batches(alpha, *, rows=13, batch_size=5, n_threads=1, seed=7, order=None, first_step=0):
    """What a plan that computes nothing hands back of its inputs: the rows as they were mixed."""
    x = np.arange(rows * 2, dtype="float64").reshape(rows, 2) ** 2
    plan = _core.Plan(
        dtype="float64",
        max_rows=batch_size,
        training=True,
        inputs=[((2,), None, None)],
        nodes=[("reshape", "same", [0], [], {"rank": 1})],
        parameters=[],
        outputs=[(1, None, None, 1.0, "same")],
        seed=seed,
        n_threads=n_threads,
    )
    y = np.empty_like(x)
    plan.run(
        _core.FORWARD | _core.FETCH,
        n_rows=rows,
        batch_size=batch_size,
        inputs=[x],
        outputs=[y],
        mixup=alpha,
        order=order,
        step=first_step,
    )
    return x if order is None else x[order], y


def find_mixture(x, y):
    """The share and the distance with which a batch was mixed."""
    for distance in range(1, len(x)):
        partner = np.roll(x, -distance, axis=0)
        share = ((y - partner) / (x - partner)).ravel()
        if np.allclose(share, share[0], rtol=1e-9):
            return share[0], distance
    raise AssertionError("no mixture of the batch's rows")


@pytest.mark.parametrize("order", [None, RANDOM.permutation(13)])
def test_each_batch_is_a_mixture_of_its_rows(order):
    x, y = mixed_batches(0.4, order=order)
    found = [find_mixture(x[row : row + 5], y[row : row + 5]) for row in (0, 5, 10)]
    assert all(0 <= share <= 1 for share, _ in found)
    assert len({share for share, _ in found}) == 3


def test_bits_do_not_depend_on_threads_and_calls():
    _, y = mixed_batches(0.4)
    for n_threads in (2, 3):
        assert np.array_equal(mixed_batches(0.4, n_threads=n_threads)[1], y)
    assert not np.array_equal(mixed_batches(0.4, seed=8)[1], y)
    assert not np.array_equal(mixed_batches(0.4, first_step=1)[1], y)


def test_a_batch_of_one_row_stays_as_it_is():
    x, y = mixed_batches(0.4, rows=4, batch_size=1)
    np.testing.assert_allclose(y, x, rtol=1e-15)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_have_the_distribution_beta(alpha):
    stats = pytest.importorskip("scipy.stats")
    x, y = mixed_batches(alpha, rows=4000, batch_size=2)
    shares = [((y[i] - x[i + 1]) / (x[i] - x[i + 1]))[0] for i in range(0, 4000, 2)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def make_model(loss):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(8, "tanh"), fn.layers.Dense(2)], seed=3, dtype="float64")
    model.compile(fn.optimizers.SGD(0.1), loss)
    return model


def test_targets_are_mixed_like_the_inputs():
    """A linear relation between inputs and targets survives mixing: a model that has it already has no loss."""
    x = RANDOM.normal(size=(40, 3))
    y = x @ RANDOM.normal(size=(3, 2)) + 0.5
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0, dtype="float64")
    model.compile("lbfgs", "mse")
    model.fit(x, y, epochs=50, verbose=0)
    model.compile(fn.optimizers.SGD(0.0), "mse")
    history = model.fit(x, y, batch_size=7, epochs=2, mixup=0.4, verbose=0)
    assert max(history.history["loss"]) < 1e-10


def test_training_with_weights_and_several_threads():
    x, y = RANDOM.normal(size=(60, 3)), np.eye(2)[RANDOM.integers(0, 2, 60)]
    results = []
    for n_threads in (1, 2, 3):
        model = make_model(fn.losses.CategoricalCrossentropy(from_logits=True))
        model.compile("adam", fn.losses.CategoricalCrossentropy(from_logits=True), n_threads=n_threads)
        model.fit(x, y, batch_size=16, epochs=3, mixup=0.3, sample_weight=RANDOM.random(60) * 0 + 0.5, verbose=0)
        results.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_bad_arguments():
    x, labels = RANDOM.normal(size=(8, 3)), RANDOM.integers(0, 2, 8)
    model = make_model(fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="one-hot rows and CategoricalCrossentropy"):
        model.fit(x, labels, mixup=0.2, verbose=0)
    for bad in (-0.1, 5, "much", True):
        with pytest.raises(ValueError, match="mixup must be a number from 0 to 4"):
            model.fit(x, labels, mixup=bad, verbose=0)
    model = make_model(lambda t, p: (0.0, np.zeros_like(p)))
    with pytest.raises(ValueError, match="mixup works with the losses of fastnet.losses"):
        model.fit(x, labels, mixup=0.2, verbose=0)
