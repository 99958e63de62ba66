"""Layers within layers: put together from other layers, models as layers, parts of models as models."""

import numpy as np
import pytest
from networks import network, rows, same_weights
from test_functional import assert_step_follows_the_gradient
from test_saving import assert_same, saved, shuffled

import fastnet as fn
from fastnet import _core, diagnosis, layers

Dense, Input, Model, Sequential = layers.Dense, fn.Input, fn.Model, fn.Sequential


class Residual(layers.Layer):
    """x + f(x), f being two dense layers; what is added up is made while it is called."""

    def __init__(self, units, width, **kwargs):
        super().__init__(**kwargs)
        self.units, self.width = units, width
        self.first = Dense(units, "tanh")
        self.second = Dense(width)

    def call(self, x):
        return layers.Add()([x, self.second(self.first(x))])


class Tower(layers.Layer):
    """Blocks in a list, a model, a layer that is given, and an operation of its own."""

    def __init__(self, depth, last, **kwargs):
        super().__init__(**kwargs)
        self.depth, self.last = depth, last
        self.blocks = []
        for _ in range(depth):
            self.blocks.append(Residual(3, 4))
        self.heads = {"a": Sequential([Dense(5, "tanh"), Dense(4)], dtype="float64", seed=5), "b": Dense(4)}

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.emit("multiply", [self.heads["a"](x), self.last(self.heads["b"](x))])


CUSTOM = {"Residual": Residual, "Tower": Tower}


def residual(x, weights):
    a, b, c, d = weights
    return x + np.tanh(x @ a + b) @ c + d


def tower_model(seed=1, **options):
    tensor = Input((4,))
    shared = Tower(2, Dense(4, "tanh", name="given"), **options)
    return Model(tensor, Dense(2)(shared(shared(tensor))), seed=seed, dtype="float64")


# ---- layers put together from layers ------------------------------------------------------------------------


def test_a_layer_of_layers_computes_and_learns():
    x, y = rows(6, 4), rows(6, 1)
    block = Residual(3, 4)
    tensor = Input((4,))
    model = Model(tensor, Dense(1)(block(block(tensor))), seed=1, dtype="float64")
    assert model.layers[0] is block and len(model.layers) == 2 and model.count_params() == 15 + 16 + 5
    *own, w, b = model.get_weights()
    np.testing.assert_allclose(model.predict(x), residual(residual(x, own), own) @ w + b, rtol=1e-12)
    model.compile("sgd", "mse")
    assert_step_follows_the_gradient(model, x, y)


def test_names_begin_with_that_of_the_layer():
    model = tower_model()
    tower = model.layers[0]
    assert [layer.name for layer in model.layers] == ["tower", "dense"]
    assert [layer.name for layer in tower.blocks] == ["blocks_0", "blocks_1"]
    paths = list(model._paths().values())
    assert paths[:2] == ["tower/given/kernel", "tower/given/bias"]
    assert "tower/blocks_1/second/kernel" in paths and "tower/heads_a/dense_1/bias" in paths and "tower/heads_b/bias" in paths
    assert len(set(paths)) == len(model.weights) == len(tower.weights) + 2
    assert tower.blocks[1].first.weights[0].path == "tower/blocks_1/first/kernel"
    assert model.get_layer("tower") is tower


def test_weights_of_all_parts_are_its_own():
    model = tower_model()
    tower = model.layers[0]
    values = [np.full(weight.shape, float(i)) for i, weight in enumerate(tower.weights)]
    tower.set_weights(values)
    assert all(np.array_equal(a, b) for a, b in zip(values, tower.get_weights()))
    assert np.array_equal(tower.blocks[0].second.bias, tower.blocks[0].get_weights()[3])
    with pytest.raises(ValueError, match="tower"):
        tower.set_weights(values[:-1])


def test_freezing_freezes_all_parts():
    x, y = rows(20, 4), rows(20, 2)
    model = tower_model()
    model.compile("sgd", "mse")
    tower, last = model.layers
    before = model.get_weights()
    tower.trainable = False
    assert model.trainable_weights == last.weights and tower.trainable_weights == []
    assert not tower.blocks[0].first.trainable and not tower.heads["a"].trainable
    model.fit(x, y, verbose=0)
    assert same_weights(before[:-2], tower.get_weights()) and not same_weights(before[-2:], last.get_weights())
    tower.trainable = True
    tower.blocks[1].second.trainable = False
    frozen = tower.blocks[1].second.get_weights()
    model.fit(x, y, verbose=0)
    assert same_weights(frozen, tower.blocks[1].second.get_weights())
    changed = [not same_weights([a], [b]) for a, b in zip(before, model.get_weights())]
    assert sum(changed) == len(changed) - 2
    assert tower_model(trainable=False).layers[0].trainable_weights == []


def test_a_layer_that_is_no_attribute_is_rejected():
    class Careless(layers.Layer):
        def call(self, x):
            return Dense(3)(x)

    with pytest.raises(ValueError) as caught:
        Sequential([Input((4,)), Careless(name="mine")])
    for word in ("'Dense'", "'mine'", "attribute", "self.part = Dense"):
        assert word in str(caught.value)


def test_layers_made_at_the_first_call():
    class Wide(layers.Layer):
        inner = None

        def call(self, x):
            if self.inner is None:
                self.inner = Dense(2 * x.shape[-1], "tanh")
            return self.inner(x)

    model = Sequential([Input((4,)), Wide(), Wide()], seed=0)
    assert [weight.path for weight in model.weights] == ["wide/inner/kernel", "wide/inner/bias", "wide_1/inner/kernel",
                                                        "wide_1/inner/bias"]  # fmt: skip
    assert model.outputs[0].shape == (None, 16)


def test_emit_needs_a_call():
    with pytest.raises(RuntimeError, match="'Dense'"):
        Dense(3).call(Input((4,)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_do_not_change_the_bits(dtype):
    x, y = rows(64, 4), rows(64, 4)
    found = []
    for n_threads in (1, 2, 3):
        model = Sequential([Input((4,)), Residual(16, 4), Residual(8, 4)], seed=0, dtype=dtype)
        model.compile("adam", "mse", n_threads=n_threads)
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
        found.append(model)
    assert same_weights(found[0], found[1]) and same_weights(found[0], found[2])


# ---- models as layers ------------------------------------------------------------------------------------------


def deep():
    """Three levels; the innermost is used four times."""
    inner = network(3, 4, seed=1)
    inner.name = "inner"
    tensor = Input((4,))
    middle = Model(tensor, layers.Add()([inner(inner(tensor)), tensor]), dtype="float64", name="middle")
    outer_input = Input((4,))
    outer = Model(outer_input, Dense(2, name="dense")(middle(middle(outer_input))), seed=2, dtype="float64")
    return inner, middle, outer


def test_models_within_models():
    inner, middle, outer = deep()
    x, y = rows(7, 4), rows(7, 2)
    assert outer.layers == [middle, outer.get_layer("dense")] and middle.layers[0] is inner
    assert outer.count_params() == inner.count_params() + 10
    assert list(outer._paths().values()) == [
        "middle/inner/dense/kernel", "middle/inner/dense/bias", "middle/inner/dense_1/kernel", "middle/inner/dense_1/bias",
        "dense/kernel", "dense/bias",
    ]  # fmt: skip
    step = lambda z: inner.predict(inner.predict(z)) + z
    w, b = outer.get_weights()[-2:]
    np.testing.assert_allclose(outer.predict(x), step(step(x)) @ w + b, rtol=1e-12)
    outer.compile("sgd", "mse")
    assert_step_follows_the_gradient(outer, x, y)
    assert outer.output_names == ["dense"] and outer.input.shape == (None, 4) and outer.output.shape == (None, 2)


def test_an_inner_model_is_frozen_as_a_whole():
    inner, middle, outer = deep()
    outer.compile("sgd", "mse")
    before = outer.get_weights()
    middle.trainable = False
    assert not inner.trainable and len(outer.trainable_weights) == 2
    outer.fit(rows(20, 4), rows(20, 2), verbose=0)
    assert same_weights(before[:4], inner) and not same_weights(before, outer)
    outer.trainable = True
    outer.fit(rows(20, 4), rows(20, 2), verbose=0)
    assert not same_weights(before[:4], inner)


def test_multipliers_and_decay_find_inner_weights():
    inner, _, outer = deep()
    multipliers = {"middle": 0.0, "middle/inner/dense_1": 1.0, "middle/inner/dense_1/bias": 0.0}
    outer.compile(fn.optimizers.SGD(0.1, learning_rate_multipliers=multipliers), "mse")
    before = outer.get_weights()
    outer.fit(rows(20, 4), rows(20, 2), verbose=0)
    changed = [not same_weights([a], [b]) for a, b in zip(before, outer.get_weights())]
    assert changed == [False, False, True, False, True, True]


def test_an_unused_output_of_an_inner_model():
    """Its weights belong to the model, and stay as they are."""
    tensor = Input((4,))
    h = Dense(3, "tanh")(tensor)
    inner = Model(tensor, [Dense(2)(h), Dense(5)(h)], seed=1, dtype="float64")
    x = Input((4,))
    model = Model(x, inner(x)[0], seed=2, dtype="float64")
    assert model.count_params() == inner.count_params()
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(rows(20, 4), rows(20, 2), epochs=2, verbose=0)
    assert [same_weights([a], [b]) for a, b in zip(before, model.get_weights())] == [False] * 4 + [True] * 2


def test_an_unused_input_of_an_inner_model(tmp_path):
    a, b = Input((4,)), Input((3,))
    inner = Model([a, b], Dense(2)(a), seed=1)
    x = Input((4,))
    outer = Model(x, inner([x, Dense(3)(x)]), seed=2)
    assert [type(layer) for layer in outer.layers] == [Model], "what nothing depends on is not a part of the model"
    assert_same(shuffled(outer), saved(outer, tmp_path / "m"))
    again = Sequential([outer, Dense(1)], seed=3)
    np.testing.assert_array_equal(again.layers[0].predict(rows(5, 4)), outer.predict(rows(5, 4)))


def test_a_model_without_operations_as_a_layer(tmp_path):
    a, b = Input((4,)), Input((2,))
    first, last = Model(a, a), Model(b, b)
    model = Sequential([first, Dense(2), last], seed=0)
    assert model.layers == [first, model.layers[1], last] and len(model.weights) == 2
    assert_same(model, saved(model, tmp_path / "m"))
    assert np.array_equal(model.predict(rows(3, 4)), Sequential([Input((4,)), model.layers[1]]).predict(rows(3, 4)))


def test_steps_are_no_changes_of_the_model():
    """What is looked at again when something changes is not looked at with every step."""
    _, _, outer = deep()
    outer.compile("adam", "mse")
    x, y = rows(8, 4), rows(8, 2)

    def step():
        outer.train_on_batch(x, y)
        outer.predict(x)
        outer.forward(x)
        outer.backward(y)
        outer.apply_gradients()

    step()
    before = _core.version()
    step()
    assert _core.version() == before
    outer.trainable = False
    assert _core.version() > before


# ---- saving ------------------------------------------------------------------------------------------------------


def all_layers(layer):
    return [layer, *(inner for part in layer.sublayers() for inner in all_layers(part))]


@pytest.mark.parametrize("make", [lambda: deep()[2], tower_model], ids=["models", "tower"])
def test_saved_and_loaded(tmp_path, make):
    model = shuffled(make())
    loaded = saved(model, tmp_path / "m", custom_objects=CUSTOM)
    assert list(loaded._paths().values()) == list(model._paths().values())
    assert [layer.name for layer in all_layers(loaded)] == [layer.name for layer in all_layers(model)]
    assert_same(model, loaded)
    for one in (model, loaded):
        one.compile("adam", "mse")
        one.fit(rows(20, 4), rows(20, 2), epochs=2, verbose=0)
    assert same_weights(model, loaded)
    model.save_weights(tmp_path / "w")
    other = make()
    other.load_weights(tmp_path / "w")
    assert same_weights(model, other)


def test_frozen_parts_stay_frozen(tmp_path):
    model = tower_model()
    tower = model.layers[0]
    tower.blocks[0].trainable = False
    tower.heads["a"].layers[1].trainable = False
    loaded = saved(model, tmp_path / "m", custom_objects=CUSTOM)
    flags = [[layer.trainable for layer in all_layers(one)] for one in (model, loaded)]
    assert flags[0] == flags[1] and False in flags[0]
    tower.trainable = False
    tower.blocks[1].first.trainable = True
    loaded = saved(model, tmp_path / "m", custom_objects=CUSTOM)
    assert loaded.trainable_weights == [*loaded.layers[0].blocks[1].first.weights, *loaded.layers[1].weights]


def test_a_layer_of_an_inner_model_that_is_used_outside_too(tmp_path):
    inner = network(3, 4, seed=1)
    tensor = Input((4,))
    first = inner.layers[0]
    model = Model(tensor, layers.Concatenate()([inner(tensor), first(tensor)]), dtype="float64", seed=2)
    loaded = saved(shuffled(model), tmp_path / "m")
    assert_same(model, loaded)
    assert loaded.layers[0].layers[0] is loaded.layers[1], "it is one layer still"


def test_a_layer_shared_by_parts_of_others_cannot_be_saved(tmp_path):
    class Uses(layers.Layer):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)
            self.inner = inner

        def call(self, x):
            return self.inner(x)

    dense = Dense(4)
    model = Sequential([Input((4,)), Uses(dense), Uses(dense)], seed=0)
    assert model.count_params() == 20
    with pytest.raises(ValueError, match="'uses'.*'uses_1'"):
        model.save(tmp_path / "m")
    model.save_weights(tmp_path / "w")
    assert saved(Sequential([Input((4,)), Uses(dense)]), tmp_path / "m", custom_objects={"Uses": Uses}).count_params() == 20


@pytest.mark.parametrize("make", [lambda: deep()[2], tower_model], ids=["models", "tower"])
def test_resumed_bit_for_bit(tmp_path, make):
    x, y = rows(30, 4), rows(30, 2)
    path = tmp_path / "c"

    def fit(model, epochs, **options):
        model.compile("adam", "mse")
        save = fn.callbacks.TrainingCheckpoint(path)
        return model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[save], **options)

    whole, parts = make(), make()
    fit(whole, 4)
    fit(parts, 2)
    resumed = make()
    fit(resumed, 4, resume_from=path)
    assert same_weights(whole, resumed) and not same_weights(whole, parts)


def test_files_of_version_1_are_read(tmp_path):
    """What was written before there were layers within layers."""
    from fastnet.saving import describe, rebuild

    model = network(3, 2)
    description = {**describe(model), "fastnet": 1}
    assert [layer.get_config() for layer in rebuild(description).layers] == [layer.get_config() for layer in model.layers]


# ---- parts of models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grow", [False, True], ids=["at once", "by add"])
def test_the_output_of_a_layer_makes_a_feature_extractor(grow):
    x = rows(9, 4)
    if grow:
        model = Sequential(seed=1, dtype="float64")
        for layer in (Input((4,)), Dense(5, "tanh"), Dense(3, "tanh"), Dense(2)):
            model.add(layer)
    else:
        model = network(5, 3, 2, seed=1)
    model(Input((4,)))  # other uses do not count
    network(4, 2, seed=3)
    features = Model(model.inputs, model.layers[1].output, dtype="float64")
    a, b, c, d, *_ = model.get_weights()
    np.testing.assert_allclose(features.predict(x), np.tanh(np.tanh(x @ a + b) @ c + d), rtol=1e-12)
    assert features.weights == model.weights[:4]
    model.compile("adam", "mse")
    model.fit(x, rows(9, 2), verbose=0)
    a, b, c, d, *_ = model.get_weights()
    np.testing.assert_allclose(features.predict(x), np.tanh(np.tanh(x @ a + b) @ c + d), rtol=1e-12)
    assert model.layers[2].input is model.layers[1].output and model.layers[0].input is model.input
    head = Model(model.inputs, Dense(1)(features.output), seed=4, dtype="float64")
    assert head.weights[:4] == features.weights


def test_input_and_output_of_a_layer_of_several():
    a, b = Input((4,)), Input((4,))
    add = layers.Add()
    with pytest.raises(RuntimeError, match="'Add'.*not been called"):
        add.output
    y = add([a, b])
    assert add.input == [a, b] and add.output is y
    add([y, y])
    assert add.output is y, "of the first call"


def test_a_model_of_a_piece_of_a_layer(tmp_path):
    """Its layers are those of the piece."""
    x = rows(5, 4)
    model = tower_model()
    tower = model.layers[0]
    piece = Model(model.inputs, tower.blocks[1].output, dtype="float64")
    assert piece.layers == tower.blocks
    expected = residual(residual(x, tower.blocks[0].get_weights()), tower.blocks[1].get_weights())
    np.testing.assert_allclose(piece.predict(x), expected, rtol=1e-12)
    assert list(piece._paths().values())[0] == "tower/blocks_0/first/kernel"
    loaded = saved(shuffled(piece), tmp_path / "m", custom_objects=CUSTOM)
    assert loaded.predict(x).tobytes() == piece.predict(x).tobytes()
    assert [layer.name for layer in loaded.layers] == ["tower/blocks_0", "tower/blocks_1"]
    assert list(loaded._paths().values()) == list(piece._paths().values())
    deeper = Model(model.inputs, tower.blocks[0].first.output, dtype="float64")
    assert deeper.layers == [tower.blocks[0].first]


def test_a_model_of_a_piece_with_operations_of_its_own(tmp_path):
    class Scaled(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = Dense(3)

        def call(self, x):
            y = self.inner(self.emit("add", [x, x]))
            return self.emit("add", [y, y])

    model = Sequential([Input((4,)), Scaled()], seed=0, dtype="float64")
    x = rows(5, 4)
    np.testing.assert_allclose(model.predict(x), 2 * (2 * x @ model.get_weights()[0]), rtol=1e-12)
    piece = Model(model.inputs, model.layers[0].inner.output, dtype="float64")
    np.testing.assert_allclose(piece.predict(x), 2 * x @ model.get_weights()[0], rtol=1e-12)
    for use in (lambda: piece.save(tmp_path / "m"), lambda: Sequential([piece, Dense(1)])):
        with pytest.raises(ValueError, match="part of layer 'scaled'"):
            use()


def test_dead_units_within_models_are_found():
    inner = network(6, 3, activation="relu", seed=1)
    inner.layers[0].bias[...] = -100
    model = Sequential([Input((4,)), Dense(4), inner], seed=0, dtype="float64")
    findings = diagnosis._dead_units(model, rows(20, 4))
    assert len(findings) == 1 and "6 of the 6 units" in str(findings[0])
    assert list(model._paths().values())[2] == "sequential/dense/kernel", "looking renames nothing"


# ---- the table ----------------------------------------------------------------------------------------------------


def test_summary_of_nested_layers():
    _, _, outer = deep()
    texts = []
    outer.summary(print_fn=texts.append)
    outer.summary(print_fn=texts.append, expand_nested=True)
    rows_of = [[line.split() for line in text.splitlines() if "(None," in line] for text in texts]
    assert [row[0] for row in rows_of[0]] == ["input", "middle", "dense"]
    assert rows_of[0][1] == ["middle", "Model", "(None,", "4)", "31"]
    assert [(line.index(row[0]), row[0]) for row, line in zip(rows_of[1], texts[1].splitlines()[3:])] == [
        (0, "input"), (0, "middle"), (2, "inner"), (4, "dense"), (4, "dense_1"), (2, "add"), (0, "dense"),
    ]  # fmt: skip
    texts.clear()
    tower_model().summary(print_fn=texts.append, expand_nested=True)
    assert "      first" not in texts[0] and "    first" in texts[0] and "given" in texts[0]


def test_summary_tells_the_memory_of_the_plan():
    model = network(8, 2)
    texts = []
    model.summary(print_fn=texts.append)
    assert "alive" not in texts[0]
    model.compile("sgd", "mse")
    model.fit(rows(32, 4), rows(32, 2), batch_size=16, verbose=0)
    model.summary(print_fn=texts.append)
    info = model._latest_plan().info()
    ratio = info["arena_bytes"] / info["live_bytes"]
    assert (
        f"{info['arena_bytes']:,} bytes" in texts[1]
        and f"batches of 16, {ratio:.2f} times the {info['live_bytes']:,}" in texts[1]
    )
