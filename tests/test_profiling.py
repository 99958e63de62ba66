"""Model.profile: the stages, their arithmetic and bytes, and that nothing is changed by it."""

import json
import types

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core, profiling


def network(dtype="float32", **compiled):
    model = fn.Sequential(
        [
            fn.Input((6,)),
            fn.layers.Dense(8, activation="relu"),
            fn.layers.BatchNormalization(),
            fn.layers.Dropout(0.2),
            fn.layers.Dense(3),
        ],
        seed=0,
        dtype=dtype,
    )
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
    products = {
        (stage.label, stage.layer): stage.flops for stage in profile.stages if stage.layer.startswith("dense") and stage.flops
    }
    assert products == {
        ("dense forward", "dense"): 2 * 20 * 6 * 8, ("dense forward", "dense_1"): 2 * 20 * 8 * 3,
        ("dense backward", "dense_1"): 2 * 20 * 8 * 3, ("dense backward parameters", "dense_1"): 2 * 20 * 8 * 3,
        ("dense backward parameters", "dense"): 2 * 20 * 6 * 8,
    }  # fmt: skip
    assert profile.flops == sum(stage.flops for stage in profile.stages) > sum(products.values())
    size = np.dtype(dtype).itemsize
    forward = next(stage for stage in profile.stages if stage.label == "dense forward")
    assert forward.bytes == size * (20 * 6 + 6 * 8 + 8 + 20 * 8)
    assert forward.flops_per_second == forward.flops / forward.seconds
    assert (profile.rows, profile.dtype, profile.isa) == (20, dtype, _core.isa())
    assert all(0 < figure < np.inf for figure in (profile.peak_flops, profile.bandwidth, profile.step_seconds))


def test_figures_of_the_machine_and_the_clock(monkeypatch):
    """Of a clock by which three steps take 5, 2 and 4 seconds, and a machine that makes 8e9 operations in one."""
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr(profiling, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    monkeypatch.setattr(_core, "measure_flops", {"float32": 8e9}.__getitem__)
    monkeypatch.setattr(_core, "measure_bandwidth", lambda: 3e9)
    profile = network("float32").profile(*data(), batch_size=20, repeats=3)
    monkeypatch.undo()
    assert (profile.step_seconds, profile.peak_flops, profile.bandwidth) == (2.0, 8e9, 3e9) and not list(times)
    rate = profile.flops / 2
    assert str(profile).endswith(f"2000000.00 us, {rate / 1e9:.1f} GFLOP/s, {100 * rate / 8e9:.1f}% of the peak")


def test_costs_of_convolutions():
    model = fn.Sequential(
        [
            fn.Input((9, 7, 2)),
            fn.layers.Conv2D(4, 3, padding="same"),
            fn.layers.Conv2D(5, 3),
            fn.layers.Flatten(),
            fn.layers.Dense(1),
        ],
        seed=0,
    )
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


ROWS, STEPS, CHANNELS = 3, 5, 8


def recurrent(cls, gates, biases=None):
    """(layer, input, {label: operations}): every step multiplies x and h by [channels + units][gates * units]."""
    name, units = cls.__name__.lower(), 6
    name = {"simplernn": "simple_rnn"}.get(name, name)
    whole = 2 * ROWS * STEPS * (CHANNELS + units) * gates * units
    return cls(units), (STEPS, CHANNELS), {
        f"{name} forward": whole, f"{name} backward": whole,
        f"{name} backward parameters": whole + ROWS * STEPS * (biases or gates) * units}  # fmt: skip


def windows(layer, outputs, window, backward):
    return layer, (6, 6, CHANNELS), {f"{layer.name} forward": ROWS * outputs * CHANNELS * window,
                                     f"{layer.name} backward": ROWS * outputs * CHANNELS * backward}  # fmt: skip


ELEMENTS = ROWS * STEPS * CHANNELS
#: What operations apart from products of matrices say, as counted by hand from their equations: (layer, input, {label: flops}).
COSTS = {
    "LSTM": recurrent(fn.layers.LSTM, 4),
    "GRU": recurrent(fn.layers.GRU, 3, 4),  # two biases of the candidate, one of each gate
    "SimpleRNN": recurrent(fn.layers.SimpleRNN, 1),
    "MaxPooling2D": windows(fn.layers.MaxPooling2D(2, name="max_pooling"), 9, 4, 1),
    "AveragePooling2D": windows(fn.layers.AveragePooling2D(3, 1, name="average_pooling"), 16, 9, 9),
    "BatchNormalization": (fn.layers.BatchNormalization(), (STEPS, CHANNELS), {
        "batch_normalization sums": (1 + 3) * ELEMENTS, "batch_normalization forward": 3 * ELEMENTS,
        "batch_normalization gradients": 4 * ELEMENTS, "batch_normalization backward": 5 * ELEMENTS}),
    "GroupNormalization": (fn.layers.GroupNormalization(2), (STEPS, CHANNELS), {
        "group_normalization forward": 7 * ELEMENTS, "group_normalization backward": 9 * ELEMENTS,
        "normalization parameters": ROWS * 2 * CHANNELS}),
    "LayerNormalization": (fn.layers.LayerNormalization(), (STEPS, CHANNELS), {
        "layer_normalization": (8 + 17) * ELEMENTS, "normalization parameters": ROWS * 2 * CHANNELS}),
    "RMSNormalization": (fn.layers.RMSNormalization(), (STEPS, CHANNELS), {
        "rms_normalization": (4 + 10) * ELEMENTS, "normalization parameters": ROWS * 2 * CHANNELS}),
    "UpSampling2D": (fn.layers.UpSampling2D(2, interpolation="bilinear"), (3, 4, 2), {
        "resize forward": 3 * ROWS * 6 * (4 + 8) * 2, "resize backward": 4 * ROWS * 6 * (4 + 8) * 2}),
    "UpSampling2D nearest": (fn.layers.UpSampling2D(2), (3, 4, 2), {"resize backward": ROWS * 6 * 8 * 2}),
    "Embedding": (fn.layers.Embedding(9, 4), (STEPS,), {"embedding backward": ROWS * STEPS * 4}),
    "Orthogonal": (fn.layers.Dense(4, kernel_regularizer=fn.regularizers.OrthogonalRegularizer()), (CHANNELS,), {
        "orthogonal penalty": 4 * CHANNELS * (CHANNELS - 1) * 4}),
    "PositionEmbedding": (fn.layers.PositionEmbedding(STEPS), (STEPS, CHANNELS), {"position_embedding parameters": ELEMENTS}),
    "RotaryEmbedding": (fn.layers.RotaryEmbedding(), (STEPS, CHANNELS), {"rotary_embedding": 2 * 3 * ELEMENTS}),
    "RandomContrast": (fn.layers.RandomContrast(0.5), (4, 4, 3), {"random_contrast": (4 + 8) * ROWS * 48}),
    "RandomRotation": (fn.layers.RandomRotation(0.5), (4, 4, 3), {"random_affine": 2 * 2 * 4 * ROWS * 48}),
    "Conv2DTranspose": (fn.layers.Conv2DTranspose(4, 3, padding="same"), (6, 6, CHANNELS), {
        "transposed_convolution forward": 2 * ROWS * 36 * 9 * CHANNELS * 4}),
    "DepthwiseConv2D": (fn.layers.DepthwiseConv2D(3, padding="same"), (6, 6, CHANNELS), {
        "depthwise_convolution forward": 2 * ROWS * 36 * CHANNELS * 9}),
}  # fmt: skip


@pytest.mark.parametrize("case", COSTS)
def test_costs_of_other_operations(case):
    """Behind a layer with weights, so that there are gradients of its input."""
    layer, shape, expected = COSTS[case]
    first = [] if case == "Embedding" else [fn.layers.Dense(shape[-1], name="first")]
    model = fn.Sequential(
        [
            fn.Input(shape),
            *first,
            type(layer).from_config(layer.get_config()),
            fn.layers.Flatten(),
            fn.layers.Dense(1, name="last"),
        ],
        seed=0,
    )
    model.compile("sgd", "mse")
    profile = model.profile(np.ones((ROWS, *shape), np.float32), np.ones(ROWS), repeats=1)
    found = {}
    for stage in profile.stages:
        if stage.layer not in ("first", "last"):
            found[stage.label] = found.get(stage.label, 0) + stage.flops
    for label, flops in expected.items():
        assert found[label] == flops, (label, found)


#: Elementwise functions, copies and random numbers: their time is that of the memory they read and write.
TRAFFIC = {"activation", "activity_regularization", "add", "affine", "alpha_dropout", "argsort", "average", "concatenate", "dropout", "elementwise",
           "gaussian_dropout", "gaussian_noise", "in_training", "log_softmax", "masking", "maximum", "minimum", "multiply", "pad", "permute",
           "random", "random_brightness", "random_erasing", "reshape", "select", "softmax", "strided_copy", "subtract"}  # fmt: skip


def test_every_operation_states_its_costs_or_is_traffic():
    from operation_cases import OPS as CASES
    from plans import Model

    stated = set()
    for op in _core.registry("ops"):
        for case in CASES[op](8):
            stages = Model(case.graph(), "float64", max_rows=2, input_gradients=True).plan.stages()
            if any(stage["flops_per_row"] or stage["flops_fixed"] for stage in stages):
                stated.add(op)
    assert stated == set(_core.registry("ops")) - TRAFFIC


def test_prediction():
    model, (x, _) = network(), data()
    profile = model.profile(x, repeats=2)
    assert profile.rows == 32 and "adam" not in {stage.label for stage in profile.stages}
    assert profile.flops == 2 * 32 * (6 * 8 + 8 * 3) + 3 * 32 * 8
    assert fn.Sequential([fn.Input((6,)), fn.layers.Dense(2)]).profile(x[:5], repeats=1).rows == 5


@pytest.mark.parametrize("optimizer", ["adam", fn.optimizers.SGD(0.1, momentum=0.9, use_ema=True, gradient_accumulation_steps=2)])
def test_nothing_is_changed(optimizer):
    model, twin, (x, y) = (
        network(optimizer=optimizer),
        network(optimizer=type(fn.optimizers.get(optimizer)).from_config(fn.optimizers.get(optimizer).get_config())),
        data(),
    )
    for one in (model, twin):
        one.fit(x, y, epochs=2, verbose=0)
    model.profile(x, y, repeats=5)
    model.profile(x, repeats=5)
    assert model.optimizer.iterations == twin.optimizer.iterations
    for one in (model, twin):
        one.fit(x, y, epochs=2, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]
    assert [s.tobytes() for s in model._plans.slots.arrays()] == [s.tobytes() for s in twin._plans.slots.arrays()]
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
    model, (x, _) = network(), data(32)
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
