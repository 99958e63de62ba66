"""What models that share layers, or an optimizer, have in common, and what becomes of it when one of them is gone."""

import gc

import numpy as np
import pytest
import round_trips

import fastnet as fn

L = fn.layers
X, Y = np.random.default_rng(0).normal(size=(32, 6)).astype("f"), np.ones((32, 1), "f")


def network(optimizer, seed=0, names=("a", "out")):
    layers = [L.Dense(1 if name == "out" else 3, "tanh", name=name) for name in names]
    model = fn.Sequential([fn.Input((6,)), *layers], seed=seed)
    model.compile(optimizer, "mse")
    return model


# ---- weights in one slab --------------------------------------------------------------------------------------


def with_head(encoder, units=50, train=True):
    model = fn.Sequential([fn.Input((6,)), encoder, L.Dense(units), L.Dense(1)], seed=0)
    if train:
        model.compile("adam", "mse")
        model.fit(X, Y, verbose=0)
    return model


def test_models_that_are_gone_leave_the_slab():
    """Nobody calls the garbage collector; slots are of the size of the slab."""
    encoder, sizes = fn.Sequential([fn.Input((6,)), L.Dense(16)], seed=0), []
    for _ in range(30):
        round_trips.made.clear()  # which would keep them alive
        sizes.append(len(with_head(encoder)._plans.slots.arrays()[0]))
    assert max(sizes) <= 2 * sizes[0]
    layer, sizes = L.Dense(8), []
    for _ in range(30):
        round_trips.made.clear()
        a = fn.Input((6,))
        sizes.append(fn.Model(a, L.Dense(50)(layer(a)), seed=0)._slab.size)
    assert max(sizes) <= 2 * sizes[0] + 100


def test_models_that_are_alive_stay_together():
    """Each predicts with the encoder as the others have trained it, and trains its own head."""
    encoder = fn.Sequential([fn.Input((6,)), L.Dense(16, name="shared")], seed=0)
    models = [with_head(encoder, 50 + i) for i in range(4)]
    assert len({id(model._slab) for model in [encoder, *models]}) == 1
    for model in models:
        model.fit(X, Y, epochs=2, verbose=0)
    hidden = X @ encoder.layers[0].kernel + encoder.layers[0].bias
    np.testing.assert_allclose(encoder.predict(X), hidden, rtol=1e-5, atol=1e-6)
    for model in models:
        first, last = model.layers[1:]
        expected = (hidden @ first.kernel + first.bias) @ last.kernel + last.bias
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)


def test_what_stays_behind_keeps_its_numbers():
    """Layers whose model is gone, views of their weights, and a model that is made of them again."""
    encoder = fn.Sequential([fn.Input((6,)), L.Dense(16)], seed=0)
    model = with_head(encoder)
    layers, view = model.layers[1:], model.layers[1].kernel
    before, numbers, prediction = view.copy(), [layer.get_weights() for layer in layers], model.predict(X)
    del model
    round_trips.made.clear()
    gc.collect()
    others = [with_head(encoder, train=False) for _ in range(5)]
    assert np.array_equal(view, before)
    for layer, values in zip(layers, numbers):
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), values))
    again = fn.Sequential([fn.Input((6,)), encoder, *layers], seed=0)
    np.testing.assert_array_equal(again.predict(X), prediction)
    assert all(other._slab is again._slab for other in others)


def test_initial_weights_do_not_depend_on_models_that_are_gone():
    """They are a function of the seed and the place in the model."""

    def made(n):
        encoder = fn.Sequential([fn.Input((6,)), L.Dense(16)], seed=0)
        for i in range(n):
            with_head(encoder, 10 + i, train=False)
        return with_head(encoder, train=False).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(made(0), made(3)))


def test_slots_follow_the_weights_that_move():
    """Training goes on as if no other model had been made."""
    alone, joined = network("adam"), network("adam")
    for model in (alone, joined):
        model.fit(X, Y, epochs=2, verbose=0)
    a = fn.Input((6,))
    other = fn.Model(a, L.Dense(40)(joined.layers[0](a)))
    for model in (alone, joined):
        model.fit(X, Y, epochs=2, verbose=0)
    assert other._slab is joined._slab
    assert all(np.array_equal(p, q) for p, q in zip(alone.get_weights(), joined.get_weights()))


# ---- one optimizer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fn.optimizers.Adam, fn.optimizers.SGD, fn.optimizers.LBFGS])
@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "loop"])
def test_an_optimizer_is_of_one_model(make, gone, call):
    """As in Keras, where the second knows no variable; and that does not change when the first is gone."""
    optimizer = make()
    first = network(optimizer)
    first.fit(X, Y, epochs=2, verbose=0)
    first.compile(optimizer, "mae")
    first.fit(X, Y, verbose=0)
    steps = optimizer.iterations
    second = network(optimizer, seed=1)
    before = second.get_weights()
    if gone:
        del first
        round_trips.made.clear()
        gc.collect()
    calls = {"fit": lambda: second.fit(X, Y, verbose=0), "train_on_batch": lambda: second.train_on_batch(X, Y),
             "loop": lambda: (second.forward(X), second.backward(Y), second.apply_gradients())}  # fmt: skip
    with pytest.raises(
        ValueError, match=f"has trained .* for {steps} steps and cannot train model 'sequential': give each its own"
    ):
        calls[call]()
    assert optimizer.iterations == steps and all(np.array_equal(a, b) for a, b in zip(before, second.get_weights()))
    second.compile(make.from_config(optimizer.get_config()), "mse")
    second.fit(X, Y, verbose=0)
    optimizer.iterations = 0  # begins anew
    third = network(optimizer)
    third.fit(X, Y, verbose=0)


# ---- what an optimizer remembers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["freeze", "pop", "others of that size"])
def test_lbfgs_forgets_when_other_weights_are_trained(change):
    """The first step is that of a fresh optimizer, from the same weights."""
    model, fresh = (network(fn.optimizers.LBFGS(), names=("a", "b", "out")) for _ in range(2))
    if change == "others of that size":  # b has as many weights as the layer before it, of which three are left
        model, fresh = (network(fn.optimizers.LBFGS(), names=("z", "a", "b", "out")) for _ in range(2))
        for name in ("z", "b", "out"):
            model.get_layer(name).trainable = False
    model.fit(X, Y, epochs=6, verbose=0)
    assert model.optimizer._steps
    for one in (model, fresh):
        if change == "freeze":
            one.get_layer("a").trainable = False
        elif change == "pop":
            one.pop()
            one.add(L.Dense(1, name="last"))
        else:
            for name in ("z", "a", "out"):
                one.get_layer(name).trainable = False
            one.get_layer("b").trainable = True
    fresh.set_weights(model.get_weights())
    losses = [one.fit(X, Y, epochs=3, verbose=0).history["loss"] for one in (model, fresh)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_gradients_of_a_fit_that_raised_are_not_in_the_next():
    """Two of three batches had been summed; in the next call they are as if they had not been."""

    class Stop(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    models = [network(fn.optimizers.SGD(0.1, gradient_accumulation_steps=3)) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        models[0].fit(X * 10, Y, batch_size=8, verbose=0, callbacks=[Stop()])
    for model in models:
        model._epochs_begun = 0
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(*(model.get_weights() for model in models)))
