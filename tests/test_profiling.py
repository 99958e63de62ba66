"""Model.profile: the stages, their arithmetic and bytes, and that nothing is changed by it."""

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core


def network(dtype="float32", **compiled):
    model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(8, activation="relu"), fn.layers.BatchNormalization(),
                           fn.layers.Dropout(0.2), fn.layers.Dense(3)], seed=0, dtype=dtype)  # fmt: skip
    model.compile(**{"optimizer": "adam", "loss": fn.losses.SparseCategoricalCrossentropy(from_logits=True), **compiled})
    return model


def data(n=50):
    return np.random.RandomState(0).rand(n, 6).astype(np.float32), np.arange(n) % 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stages_and_their_costs(dtype):
    model, (x, y) = network(dtype), data()
    profile = model.profile(x, y, batch_size=20, repeats=3)
    plan = model._latest_plan()
    assert [stage.label for stage in profile.stages] == [label for label in plan.stage_labels() if label != "fetch"]
    assert all(np.isfinite(stage.seconds) and stage.seconds >= 0 for stage in profile.stages)
    products = {(stage.label, stage.layer): stage.flops for stage in profile.stages if stage.flops}
    assert products == {
        ("dense forward", "dense"): 2 * 20 * 6 * 8, ("dense forward", "dense_1"): 2 * 20 * 8 * 3,
        ("dense backward", "dense_1"): 2 * 20 * 8 * 3, ("dense backward parameters", "dense_1"): 2 * 20 * 8 * 3,
        ("dense backward parameters", "dense"): 2 * 20 * 6 * 8,
    }  # fmt: skip
    assert profile.flops == sum(products.values())
    size = np.dtype(dtype).itemsize
    forward = next(stage for stage in profile.stages if stage.label == "dense forward")
    assert forward.bytes == size * (20 * 6 + 6 * 8 + 8 + 20 * 8)
    assert forward.flops_per_second == forward.flops / forward.seconds
    assert (profile.rows, profile.dtype, profile.isa) == (20, dtype, _core.isa())
    assert profile.peak_flops > 1e8 and profile.bandwidth > 1e8 and 0 < profile.step_seconds < 1


def test_costs_of_convolutions():
    model = fn.Sequential([fn.Input((9, 7, 2)), fn.layers.Conv2D(4, 3, padding="same"), fn.layers.Conv2D(5, 3),
                           fn.layers.Flatten(), fn.layers.Dense(1)], seed=0)  # fmt: skip
    model.compile("adam", "mse")
    profile = model.profile(np.ones((4, 9, 7, 2), np.float32), np.ones(4), repeats=1)
    first, second = 2 * 4 * 63 * 9 * 2 * 4, 2 * 4 * 35 * 9 * 4 * 5
    found = sorted(stage.flops for stage in profile.stages if stage.label.startswith("convolution") and stage.flops)
    assert found == sorted([first, first, second, second, second])


def test_costs_of_attention():
    x = fn.Input((5, 8))
    model = fn.Model(x, fn.layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=4)(x, x), seed=0)
    model.compile("adam", "mse")
    profile = model.profile(np.ones((3, 5, 8), np.float32), np.ones((3, 5, 8), np.float32), repeats=1)
    pairs = 3 * 2 * 5 * 5
    assert [stage.flops for stage in profile.stages if stage.label == "attention forward"] == [2 * pairs * (3 + 4)]
    assert [stage.flops for stage in profile.stages if stage.label == "attention backward"] == [2 * pairs * (3 * 3 + 2 * 4)]


def test_prediction():
    model, (x, _) = network(), data()
    profile = model.profile(x, repeats=2)
    assert profile.rows == 32 and "adam" not in {stage.label for stage in profile.stages}
    assert profile.flops == 2 * 32 * (6 * 8 + 8 * 3)
    assert fn.Sequential([fn.Input((6,)), fn.layers.Dense(2)]).profile(x[:5], repeats=1).rows == 5


@pytest.mark.parametrize("optimizer", ["adam", fn.optimizers.SGD(0.1, momentum=0.9, use_ema=True, gradient_accumulation_steps=2)])
def test_nothing_is_changed(optimizer):
    model, twin, (x, y) = network(optimizer=optimizer), network(optimizer=type(fn.optimizers.get(optimizer)).from_config(
        fn.optimizers.get(optimizer).get_config())), data()  # fmt: skip
    for one in (model, twin):
        one.fit(x, y, epochs=2, verbose=0)
    model.profile(x, y, repeats=5)
    model.profile(x, repeats=5)
    assert model.optimizer.iterations == twin.optimizer.iterations
    for one in (model, twin):
        one.fit(x, y, epochs=2, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]
    assert [s.tobytes() for s in model._plans.slots()] == [s.tobytes() for s in twin._plans.slots()]
    assert not model._plans.one_thread


def test_text_and_json():
    profile = network().profile(*data(), repeats=2)
    lines = str(profile).splitlines()
    assert lines[0].startswith("Batches of 32, float32") and "GFLOP/s" in lines[1]
    assert len(lines) == 5 + len(profile.stages) and lines[-2].startswith("all") and lines[-1].startswith("A call of one step")
    read = json.loads(json.dumps(profile.to_json()))
    assert [stage["label"] for stage in read["stages"]] == [stage.label for stage in profile.stages]
    assert read["peak_flops"] == profile.peak_flops


def test_bad_arguments():
    x, y = data()
    with pytest.raises(ValueError, match="repeats must be a positive integer"):
        network().profile(x, y, repeats=0)
    with pytest.raises(ValueError, match="made in the engine"):
        network(loss=lambda y_true, y_pred: (0.0, np.zeros_like(y_pred))).profile(x, y)
    with pytest.raises(ValueError, match="made in the engine"):
        network(optimizer="lbfgs").profile(x, y)
    with pytest.raises(RuntimeError, match="compiled"):
        fn.Sequential([fn.Input((6,)), fn.layers.Dense(3)]).profile(x, y)


def test_stage_seconds_are_checked_and_added_to():
    model, (x, y) = network(), data(32)
    model.predict(x)
    plan = model._latest_plan()
    out, n = np.empty((32, 3), np.float32), len(plan.stages())
    arguments = dict(n_rows=32, batch_size=32, inputs=[x], outputs=[out])
    for wrong in (np.zeros(n - 1), np.zeros(n, np.float32), np.zeros(2 * n)[::2]):
        with pytest.raises(ValueError, match=f"stage_seconds must be .* with {n} elements"):
            plan.run(_core.FORWARD | _core.FETCH, stage_seconds=wrong, **arguments)
    seconds = np.full(n, 5.0)
    plan.run(_core.FORWARD | _core.FETCH, stage_seconds=seconds, **arguments)
    assert (seconds >= 5).all() and 5 * n < seconds.sum() < 5 * n + 1
    timed = out.copy()
    plan.run(_core.FORWARD | _core.FETCH, **arguments)
    assert np.array_equal(timed, out)
