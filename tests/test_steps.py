"""steps_per_epoch, validation_steps and steps: parts of the data, against the same batches one by one."""

import numpy as np
import pytest

import fastnet as fn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 3)), RNG.normal(size=(22, 1))


def made(**options):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)], seed=1)
    model.compile(**{"optimizer": fn.optimizers.SGD(0.05, momentum=0.5), "loss": "mse", "metrics": ["mae"], **options})
    return model


@pytest.mark.parametrize(
    "loss", ["mse", lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size)], ids=["engine", "function"]
)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 9])
def test_epochs_take_up_where_the_one_before_has_ended(steps, loss):
    """22 rows are 6 batches of 4, the last of 2 rows; an epoch that comes to their end is shorter."""
    batches = [slice(i, min(i + 4, 22)) for i in range(0, 22, 4)]
    model, peer, losses = made(loss=loss), made(loss=loss), []
    history = model.fit(X, Y, batch_size=4, epochs=5, shuffle=False, steps_per_epoch=steps, verbose=0)
    place = 0
    for _ in range(5):
        seen = []
        for rows in batches[place : place + steps]:
            seen += [peer.train_on_batch(X[rows], Y[rows])[0]] * (rows.stop - rows.start)
        place = place + steps if place + steps < len(batches) else 0
        losses.append(np.mean(seen))
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)
    for one, other in zip(model.get_weights(), peer.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_pass_in_parts_is_a_pass(steps):
    """Also shuffled: the rows of a pass are in one order, so that each is seen once."""
    parts = -(-6 // steps)
    model, peer = made(), made()
    model.fit(X, Y, batch_size=4, epochs=3 * parts, steps_per_epoch=steps, verbose=0)
    peer.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    for one, other in zip(model.get_weights(), peer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_callbacks_and_progress_count_the_steps_of_the_epoch():
    class Batches(fn.callbacks.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(batch)

    callback = Batches()
    made().fit(X, Y, batch_size=4, epochs=2, steps_per_epoch=4, verbose=0, callbacks=[callback])
    assert callback.params["steps"] == 4 and callback.seen == [0, 1, 2, 3, 0, 1]


def test_training_in_parts_is_resumed(tmp_path):
    path, arguments = tmp_path / "training", {"batch_size": 4, "epochs": 5, "steps_per_epoch": 4, "verbose": 0}

    class Interrupt(fn.callbacks.Callback):
        def __init__(self, at):
            self.at = at

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.at:
                raise KeyboardInterrupt

    whole = made()
    whole.fit(X, Y, **arguments)
    for at in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            made().fit(X, Y, callbacks=[Interrupt(at), fn.callbacks.TrainingCheckpoint(path)], **arguments)
        model = made()
        model.fit(X, Y, callbacks=[Interrupt(None), fn.callbacks.TrainingCheckpoint(path)], resume_from=path, **arguments)
        for one, other in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_validation_of_some_batches():
    options = {"epochs": 1, "verbose": 0, "batch_size": 4}
    for given in ({"validation_data": (X, Y)}, {"validation_split": 0.5}):
        rows = slice(0, 22) if "validation_data" in given else slice(11, 22)
        model = made()
        history = model.fit(X, Y, validation_steps=2, **options, **given).history
        loss, mae = model.evaluate(X[rows][:8], Y[rows][:8])
        assert (history["val_loss"], history["val_mae"]) == (pytest.approx([loss]), pytest.approx([mae]))
    model = made()
    history = model.fit(X, Y, validation_data=(X, Y), validation_batch_size=3, validation_steps=2, **options).history
    assert history["val_loss"] == pytest.approx([model.evaluate(X[:6], Y[:6])[0]])


def test_some_batches_of_evaluate_and_predict():
    model = made()
    assert model.evaluate(X, Y, batch_size=4, steps=2) == model.evaluate(X[:8], Y[:8], batch_size=4)
    for _ in range(2):  # the second time there is a short way for whole arrays
        np.testing.assert_array_equal(model.predict(X, batch_size=4, steps=3), model.predict(X[:12]))
        assert model.predict(X, steps=1).shape == (22, 1) and model.predict(np.vstack([X, X]), steps=1).shape == (32, 1)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_numbers_of_steps_that_are_none(wrong):
    model = made()
    for call in (
        lambda: model.fit(X, Y, steps_per_epoch=wrong, verbose=0),
        lambda: model.fit(X, Y, validation_data=(X, Y), validation_steps=wrong, verbose=0),
        lambda: model.evaluate(X, Y, steps=wrong),
        lambda: model.predict(X, steps=wrong),
    ):
        with pytest.raises((TypeError, ValueError), match="steps"):
            call()
    with pytest.raises(ValueError, match="LBFGS takes all rows"):
        made(optimizer=fn.optimizers.LBFGS()).fit(X, Y, steps_per_epoch=1, verbose=0)
