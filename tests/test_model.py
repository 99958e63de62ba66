"""Sequential models: their making and changing, weights, freezing, summaries; imports."""

import os
import subprocess
import sys

import numpy as np
import pytest
from networks import Reference, network, regression, rows, same_weights

import fastnet as fn
from fastnet import layers

Dense = layers.Dense

# ---- making ------------------------------------------------------------------------------------------


def test_with_an_input_the_weights_exist_at_once():
    model = fn.Sequential([fn.Input((4,)), Dense(3), Dense(2)], seed=0)
    assert model.built
    assert [weight.shape for weight in model.weights] == [(4, 3), (3,), (3, 2), (2,)]
    assert model.count_params() == 23
    assert len(model.inputs) == len(model.outputs) == 1
    assert model.inputs[0].shape == (None, 4) and model.outputs[0].shape == (None, 2)
    assert model.name == "sequential" and fn.Sequential(name="mine").name == "mine"
    assert model.dtype == "float32"


@pytest.mark.parametrize("use", ["predict", "fit", "train_on_batch", "evaluate", "forward", "build", "call"])
def test_without_an_input_the_first_data_build_it(use):
    x, y = rows(6, 4), rows(6, 2)
    given = network(3, 2, seed=5)
    model = fn.Sequential([Dense(3, "tanh"), Dense(2)], seed=5, dtype="float64")
    assert not model.built and model.weights == [] and [type(layer) for layer in model.layers] == [Dense, Dense]
    assert "not built" in repr(model)
    for one in (model, given):
        one.compile("sgd", "mse")
    actions = {
        "predict": lambda m: m.predict(x),
        "fit": lambda m: m.fit(x, y, verbose=0),
        "train_on_batch": lambda m: m.train_on_batch(x, y),
        "evaluate": lambda m: m.evaluate(x, y),
        "forward": lambda m: m.forward(x),
        "build": lambda m: m.build((None, 4)) if not m.built else None,
        "call": lambda m: m(fn.Input((4,))),
    }
    actions[use](model)
    actions[use](given)
    assert model.built and same_weights(model, given)


def test_deferred_building_learns_the_shape_of_any_data():
    for x, shape in [
        ([[1, 2, 3], [4, 5, 6]], (3,)),
        (np.zeros((5, 2, 3)), (2, 3)),
        ([1, 2, 3], (1,)),
        ([np.zeros((5, 2))], (2,)),
        ([np.zeros(3), np.zeros(3)], (3,)),
        ([np.zeros(3)], (3,)),
        ({"input": np.zeros((2, 4))}, (4,)),
    ]:
        model = fn.Sequential([Dense(2)])
        model.predict(x)
        assert model.inputs[0].sample_shape == shape


def test_add_makes_the_model_that_the_constructor_makes():
    whole = fn.Sequential([fn.Input((4,)), Dense(3, "relu"), Dense(2)], seed=1)
    grown = fn.Sequential(seed=1)
    for layer in (fn.Input((4,)), Dense(3, "relu"), Dense(2)):
        grown.add(layer)
    assert same_weights(whole, grown)
    assert [layer.name for layer in grown.layers] == [layer.name for layer in whole.layers]


def test_add_keeps_the_weights_there_are():
    model = fn.Sequential([fn.Input((4,)), Dense(3)], seed=1)
    before = model.get_weights()
    model.add(layers.ReLU())
    model.add(Dense(2))
    assert same_weights(before, model.get_weights()[:2])
    x = rows(5, 4)
    w, b, v, c = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.maximum(x @ w + b, 0) @ v + c, rtol=1e-4, atol=1e-6)


def test_pop_and_add_change_what_is_computed():
    """Also where the number of layers and the weights stay the same."""
    x = rows(5, 4)
    model = fn.Sequential([fn.Input((4,)), Dense(3), layers.ReLU()], seed=1, dtype="float64")
    z = x @ model.get_weights()[0]
    np.testing.assert_allclose(model.predict(x), np.maximum(z, 0), rtol=1e-13)
    model.pop()
    np.testing.assert_allclose(model.predict(x), z, rtol=1e-13)
    model.add(layers.Tanh())
    np.testing.assert_allclose(model.predict(x), np.tanh(z), rtol=1e-13)
    while model.layers:
        model.pop()
    assert not model.built
    with pytest.raises(ValueError, match="no layers"):
        model.pop()


def test_a_compiled_model_can_still_be_changed():
    x = rows(6, 4)
    model = regression(3, 1, optimizer="adam", metrics=["mae"])
    model.fit(x, rows(6, 1), epochs=2, verbose=0)
    model.pop()
    model.add(Dense(5))
    peer = Reference(model, "mean_squared_error", "adam", learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert model.evaluate(x, rows(6, 5))[0] == pytest.approx(np.mean((peer.predict(x) - rows(6, 5)) ** 2))
    model.fit(x, rows(6, 5), verbose=0)
    assert model.predict(x).shape == (6, 5) and model.optimizer.iterations == 3


def test_a_layer_that_does_not_fit_is_not_added():
    model = fn.Sequential([fn.Input((4,)), Dense(3, name="first")], seed=1)
    before, x = model.get_weights(), rows(2, 4)
    y = model.predict(x)
    taken = Dense(7, name="first")
    for layer, error in [
        (layers.Reshape((2, 2)), ValueError),
        (taken, ValueError),
        (model.layers[0], ValueError),
        ("dense", TypeError),
        (Dense, TypeError),
        (fn.Input((3,)), ValueError),
        (np.ones(3), TypeError),
    ]:
        with pytest.raises(error):
            model.add(layer)
        assert len(model.layers) == 1 and same_weights(before, model)
        assert np.array_equal(model.predict(x), y)
    other = fn.Sequential([fn.Input((9,)), taken])
    assert taken.kernel.shape == (9, 7) and other.built


@pytest.mark.parametrize("make, error, words", [
    (lambda d: fn.Sequential([d, d]), ValueError, ["'mine'", "twice", "fn.Model"]),
    (lambda d: fn.Sequential([fn.Input((2,)), d, Dense(3, name="mine")]), ValueError, ["two layers", "'mine'"]),
    (lambda d: fn.Sequential([d, fn.Input((2,))]), ValueError, ["fn.Input must come first"]),
    (lambda d: fn.Sequential([fn.Input((2,)), fn.Input((2,)), d]), ValueError, ["fn.Input must come first"]),
    (lambda d: fn.Sequential([d, None]), TypeError, ["None"]),
    (lambda d: fn.Sequential(d), TypeError, ["list of layers"]),
    (lambda d: fn.Sequential([d], dtype="float16"), ValueError, ["dtype", "float16"]),
    (lambda d: fn.Sequential([d], dtype="floaty"), ValueError, ["dtype", "floaty"]),
    (lambda d: fn.Sequential([d], seed=-1), ValueError, ["seed", "-1"]),
    (lambda d: fn.Sequential([d], seed=2**64), ValueError, ["seed"]),
    (lambda d: fn.Sequential([d], seed=1.5), TypeError, ["seed", "1.5"]),
    (lambda d: fn.Sequential([d], seed="x"), TypeError, ["seed", "'x'"]),
    (lambda d: fn.Sequential([d]).build((4,)), ValueError, ["input_shape", "None"]),
    (lambda d: fn.Sequential([d]).build((None, 0)), ValueError, ["shape", "0"]),
    (lambda d: fn.Sequential([d]).summary(), RuntimeError, ["shape"]),
    (lambda d: fn.Sequential([d]).get_weights(), RuntimeError, ["shape"]),
    (lambda d: fn.Sequential().predict([[1.0]]), RuntimeError, ["shape"]),
    (lambda d: fn.Sequential([fn.Input((2,)), d]).get_layer("nine"), ValueError, ["'nine'", "'mine'"]),
])  # fmt: skip
def test_models_that_make_no_sense(make, error, words):
    with pytest.raises(error) as caught:
        make(Dense(3, name="mine"))
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize("x", [
    np.zeros((3, 5), object), [[1, 2], [3]], np.zeros((0, 5)), np.array([["a", "b"]]), np.zeros((3, 5), complex), 3.0,
    None,
])  # fmt: skip
def test_bad_data_do_not_build_a_model(x):
    model = fn.Sequential([Dense(2), layers.Activation("tanh")], seed=0)
    model.compile("sgd", "mse")
    for call in (lambda: model.fit(x, np.zeros((3, 2))), lambda: model.predict(x), lambda: model.forward(x)):
        with pytest.raises((TypeError, ValueError), match="x"):
            call()
        assert not model.built
    model.fit(np.zeros((3, 4)), np.zeros((3, 2)), verbose=0)
    assert model.inputs[0].sample_shape == (4,)


def test_targets_that_do_not_fit_do_not_build_a_model():
    inner = fn.Sequential([Dense(3)])
    model = fn.Sequential([inner, Dense(2)], seed=0)
    with pytest.raises(RuntimeError, match="compiled first"):
        model.fit(np.zeros((3, 7)), np.zeros((3, 2)))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y has shape"):
        model.fit(np.zeros((3, 7)), np.zeros((3, 9)))
    assert not model.built and not inner.built
    model.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.zeros((3, 4)), [0, 1, 1], verbose=0)
    assert inner.get_weights()[0].shape == (4, 3)


# ---- models inside models -----------------------------------------------------------------------------


def test_a_model_can_be_a_layer():
    x = rows(5, 4)
    inner = fn.Sequential([fn.Input((4,)), Dense(3, "relu"), Dense(2)], seed=1, dtype="float64")
    outer = fn.Sequential([fn.Input((4,)), inner, Dense(1)], seed=2, dtype="float64")
    assert outer.count_params() == inner.count_params() + 3
    w, b = outer.get_weights()[-2:]
    np.testing.assert_allclose(outer.predict(x), inner.predict(x) @ w + b, rtol=1e-13)
    assert same_weights(inner.get_weights(), outer.get_weights()[:4])


def test_models_with_layers_of_the_same_automatic_names_can_be_joined():
    encoder = fn.Sequential([fn.Input((4,)), Dense(2, "tanh")], seed=1, dtype="float64")
    decoder = fn.Sequential([fn.Input((2,)), Dense(4)], seed=2, dtype="float64")
    assert encoder.layers[0].name == decoder.layers[0].name == "dense"
    both = fn.Sequential([encoder, decoder], dtype="float64")
    assert both.built, "the shape of the input is that of the first model's"
    x = rows(5, 4)
    np.testing.assert_allclose(both.predict(x), decoder.predict(encoder.predict(x)), rtol=1e-13)
    assert both.layers == [encoder, decoder] and [layer.name for layer in both.layers] == ["sequential", "sequential_1"]
    assert list(both._paths().values()) == ["sequential/dense/kernel", "sequential/dense/bias",
                                            "sequential_1/dense/kernel", "sequential_1/dense/bias"]  # fmt: skip


def test_training_the_outer_model_trains_the_inner():
    x, y = rows(20, 4), rows(20, 1)
    inner = regression(3, optimizer="adam", seed=1)
    inner.fit(x, rows(20, 3), epochs=2, verbose=0)
    trained = inner.get_weights()
    outer = fn.Sequential([inner, Dense(1)], seed=2, dtype="float64")
    outer.build((None, 4))
    assert same_weights(trained, outer.get_weights()[:2]), "joining keeps the values"
    assert same_weights(trained, inner)
    outer.compile("sgd", "mse")
    outer.fit(x, y, verbose=0)
    assert not same_weights(trained, inner)
    assert same_weights(inner.get_weights(), outer.get_weights()[:2])
    # The inner model goes on with the weights of the outer one, and with its own moments.
    peer = outer.get_weights()
    inner.fit(x, rows(20, 3), verbose=0)
    assert not same_weights(peer[:2], inner) and same_weights(peer[2:], outer.get_weights()[2:])
    assert same_weights(inner.get_weights(), outer.get_weights()[:2])


def test_moments_move_with_the_weights():
    """Another model made of a layer moves its weights to other memory; training must not notice."""
    x, y = rows(20, 4), rows(20, 1)
    moved, alone = regression(5, 1, optimizer="adam", seed=1), regression(5, 1, optimizer="adam", seed=1)
    for model in (moved, alone):
        model.fit(x, y, epochs=2, verbose=0)
        model.train_on_batch(x, y)
        if model is moved:
            before = model.predict(x)
            fn.Sequential([fn.Input((3,)), Dense(4), *model.layers], dtype="float64")
            assert np.array_equal(model.predict(x), before)
        model.fit(x, y, epochs=2, verbose=0)
        model.train_on_batch(x, y)
        model.forward(x)
        model.backward(np.ones((20, 1)))
        model.apply_gradients()
    assert same_weights(moved, alone)


def test_models_that_share_layers_have_one_precision():
    layer = Dense(3)
    fn.Sequential([fn.Input((4,)), layer], dtype="float64")
    with pytest.raises(ValueError, match="float64.*float32"):
        fn.Sequential([fn.Input((4,)), layer])


# ---- weights ---------------------------------------------------------------------------------------------


def test_get_weights_copies_and_set_weights_sets():
    a, b = network(3, 2, seed=1), network(3, 2, seed=2)
    weights = a.get_weights()
    b.set_weights(weights)
    assert same_weights(a, b)
    weights[0][...] = 0
    assert same_weights(a, b)
    b.set_weights([weight.tolist() for weight in weights])
    assert not b.get_weights()[0].any()


@pytest.mark.parametrize("change, error, words", [
    (lambda w: w[:-1], ValueError, ["'sequential'", "4 weights", "3"]),
    (lambda w: [*w, w[0]], ValueError, ["5"]),
    (lambda w: [w[0].T, *w[1:]], ValueError, ["'dense/kernel'", "(4, 3)", "(3, 4)"]),
    (lambda w: [*w[:3], np.zeros(3)], ValueError, ["'dense_1/bias'", "(2,)", "(3,)"]),
    (lambda w: [*w[:3], ["a", "b"]], TypeError, ["'dense_1/bias'", "numbers"]),
    (lambda w: [*w[:2], [[1, 2], [3]], w[3]], ValueError, ["'dense_1/kernel'"]),
])  # fmt: skip
def test_set_weights_checks_all_before_it_sets_any(change, error, words):
    model = network(3, 2)
    before = model.get_weights()
    with pytest.raises(error) as caught:
        model.set_weights(change([weight + 1 for weight in before]))
    assert same_weights(before, model)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_frozen_layers_stay_as_they_are():
    x, y = rows(20, 4), rows(20, 1)
    for optimizer in ("sgd", "adam", fn.optimizers.SGD(0.1, momentum=0.9)):
        model = regression(5, 6, 1, optimizer=optimizer, seed=1)
        model.layers[1].trainable = False
        before = model.get_weights()
        assert len(model.trainable_weights) == 4 and len(model.non_trainable_weights) == 2
        assert len(model.gradients) == 4
        model.fit(x, y, epochs=2, verbose=0)
        model.train_on_batch(x, y)
        after = model.get_weights()
        assert same_weights(before[2:4], after[2:4])
        assert not any(np.array_equal(before[i], after[i]) for i in (0, 1, 4, 5))


def test_freezing_is_seen_after_compile_and_can_be_undone():
    x, y = rows(20, 4), rows(20, 1)
    model = regression(5, 1, optimizer="adam", seed=1)
    model.fit(x, y, verbose=0)
    model.trainable = False
    assert not model.trainable and model.trainable_weights == []
    frozen = model.get_weights()
    history = model.fit(x, y, epochs=2, verbose=0)
    model.train_on_batch(x, y)
    assert same_weights(frozen, model)
    assert history.history["loss"][0] == pytest.approx(model.evaluate(x, y), rel=1e-12)
    model.trainable = True
    model.fit(x, y, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(frozen, model.get_weights()))


def test_frozen_layers_do_not_change_how_others_learn():
    x, y = rows(20, 4), rows(20, 1)
    whole, part = regression(5, 1, seed=1), regression(5, 1, seed=1)
    part.layers[0].trainable = False
    whole.fit(x, y, batch_size=20, verbose=0)
    part.fit(x, y, batch_size=20, verbose=0)
    assert same_weights(whole.get_weights()[2:], part.get_weights()[2:])


def test_a_model_without_weights_can_be_fitted():
    model = fn.Sequential([fn.Input((2, 2)), layers.Flatten(), layers.Softmax()])
    model.compile("adam", "mse")
    history = model.fit(np.ones((5, 2, 2)), np.full((5, 4), 0.25), epochs=2, verbose=0)
    assert history.history["loss"] == [0.0, 0.0]
    assert model.get_weights() == [] and model.count_params() == 0


# ---- summary -----------------------------------------------------------------------------------------------


def test_summary(capsys):
    model = fn.Sequential([fn.Input((8, 8)), layers.Flatten(), Dense(100, "relu", name="hidden"), Dense(10)], name="digits")
    model.layers[1].trainable = False
    model.summary()
    assert capsys.readouterr().out.splitlines() == [
        "Model 'digits' (float32)",
        "Layer    Type     Output shape  Parameters",
        "-------  -------  ------------  ----------",
        "input    Input    (None, 8, 8)           0",
        "flatten  Flatten  (None, 64)             0",
        "hidden   Dense    (None, 100)        6,500",
        "dense    Dense    (None, 10)         1,010",
        "-------  -------  ------------  ----------",
        "7,510 parameters (30,040 bytes): 1,010 trainable, 6,500 not",
    ]
    model.predict(np.zeros((1, 8, 8)))
    said = []
    model.summary(print_fn=said.append)
    assert len(said) == 1 and said[0].splitlines()[-1].startswith("3") is False
    assert "bytes of activations and scratch" in said[0]
    assert repr(model) == "<Sequential 'digits', 3 layers, 7,510 parameters>"


# ---- import ---------------------------------------------------------------------------------------------------

NOT_NEEDED = [
    "matplotlib", "pandas", "sklearn", "scipy", "tqdm", "safetensors", "difflib", "inspect", "dataclasses", "argparse",
    "asyncio", "unittest", "typing_extensions", "gzip", "multiprocessing", "concurrent.futures", "importlib.metadata",
]  # fmt: skip


def imported_by(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_takes_only_what_it_needs():
    more = imported_by("import fastnet") - imported_by("import numpy")
    assert not more & set(NOT_NEEDED)
    foreign = {name.partition(".")[0] for name in more} - set(sys.stdlib_module_names) - {"fastnet"}
    foreign = {name for name in foreign if not name.startswith(("_cython_", "cython_runtime", "__"))}
    assert foreign <= {"numpy"}


def test_training_imports_no_more():
    code = (
        "import fastnet as fn; m = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)]); m.compile('adam', 'mse'); "
        "m.fit([[1, 2], [3, 4]], [1, 2], verbose=0); m.evaluate([[1, 2]], [1]); m.predict([[1, 2]])"
    )
    more = imported_by(code) - imported_by("import numpy, numpy.random")
    assert not more & {*NOT_NEEDED, "numpy.ma"}


@pytest.mark.parametrize(("asked", "warns"), [("", False), ("baseline", True), ("nonsense", True)])
def test_an_unknown_instruction_set_is_warned_of(asked, warns):
    """FASTNET_ISA forces one of the machine's; any other name is said, and the best is used."""
    if asked == "baseline" and "baseline" in fn._core.available_isas():
        warns = False
    code = "import fastnet; print(fastnet.current_isa())"
    environment = {**os.environ, "FASTNET_ISA": asked}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ("is not an instruction set of this machine" in result.stderr) == warns
    assert result.stdout.strip() == ("baseline" if asked == "baseline" and not warns else fn._core.available_isas()[-1])
