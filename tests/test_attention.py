"""Attention: traces of Keras, long sequences, masks, dropout, and what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from networks import rows
from plans import Graph, Model, assert_same_step, reference_step

import fastnet as fn
from fastnet import layers

TRACES = np.load(Path(__file__).parent / "traces" / "attention_keras.npz")
CASES = json.loads(str(TRACES["meta"]))["cases"]


def attend(inputs, dtype, n_threads=1, causal=0, **attributes):
    """(graph, model) of the operation on inputs of these shapes, which are outputs too."""
    graph = Graph()
    values = [graph.input(shape) for shape in inputs]
    graph.output(graph.node("attention", values, causal=causal, **attributes))
    for value in values:
        graph.output(value)
    return graph, Model(graph, dtype, max_rows=2, n_threads=n_threads, input_gradients=True)


def check(shapes, dtype, tolerance, scale=1.0, **attributes):
    """Against the reference; the same bits for 1, 2 and 3 threads."""
    random = np.random.default_rng(3)
    inputs = [(scale * random.normal(size=(2, *shape))).astype(dtype) for shape in shapes[:3]]
    inputs += [(random.random((2, *shape)) < 0.7).astype(dtype) for shape in shapes[3:]]
    first = seeds = None
    for n_threads in (1, 2, 3):
        graph, model = attend(shapes, dtype, n_threads, **attributes)
        seeds = (
            [random.normal(size=(2, *graph.shapes[value])).astype(dtype) for value, *_ in graph.outputs] if not first else seeds
        )
        step = model.gradients(inputs, seeds=seeds)
        if first is None:
            first = step
            assert_same_step(step, reference_step(graph, model.weights, inputs, seeds=seeds), tolerance, floor=1)
        assert_same_step(step, first, 0, f"{n_threads} threads")


TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"causal": 1},
        {"window": 5},
        {"causal": 1, "window": 150},
        {"key_heads": 1, "causal": 1},
        {"window": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize(("queries", "keys"), [(33, 129), (300, 257), (1, 400)])
def test_several_blocks(queries, keys, attributes, isa, dtype):
    heads = 2
    channels = 7 * (attributes.get("key_heads") or heads)
    check(((queries, 14), (keys, channels), (keys, channels)), dtype, TOLERANCE[dtype], heads=heads, **attributes)


def test_several_blocks_with_masks_and_dropout(isa, dtype):
    check(((40, 6), (140, 6), (140, 4), (140,), (40, 140)), dtype, TOLERANCE[dtype], heads=2)
    check(((3, 4), (140, 4), (140, 4), (3, 140)), dtype, TOLERANCE[dtype], rate=0.5, seed=4)


def test_scores_far_apart(isa, dtype):
    """Sums go over from block to block though the scores of one are larger than those of another by hundreds."""
    check(((5, 8), (400, 8), (400, 8)), "float64", 1e-10, scale=20.0)
    graph, model = attend(((1, 1), (300, 1), (300, 1)), dtype, scale=1)
    keys = np.zeros((1, 300, 1), dtype)
    keys[0, [0, 130, 270], 0] = [300, 600, 600]
    values = np.arange(300, dtype=dtype).reshape(1, 300, 1)
    assert model.predict([np.ones((1, 1, 1), dtype), keys, values])[0] == 200


def test_a_query_that_sees_no_key_gives_zeros(isa, dtype):
    shapes = ((4, 6), (5, 6), (5, 4), (4, 5))
    graph, model = attend(shapes, dtype, heads=2)
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(2, *shape)).astype(dtype) for shape in shapes]
    inputs[3][:] = 1
    inputs[3][1, 2] = 0
    seeds = [np.zeros((2, *graph.shapes[value]), dtype) for value, *_ in graph.outputs]
    seeds[0][:] = 1
    step = model.gradients(inputs, seeds=seeds)
    assert np.all(step.outputs[0][1, 2] == 0) and np.all(step.input_gradients[0][1, 2] == 0)
    assert np.all(np.isfinite(step.outputs[0])) and np.all(step.outputs[0][1, 1] != 0)
    assert_same_step(step, reference_step(graph, model.weights, inputs, seeds=seeds), TOLERANCE[dtype], floor=1)


def test_nan_stays_nan(isa, dtype):
    """In the query that has it; not in others, nor where it is masked."""
    shapes = ((4, 3), (5, 3), (5, 3))
    _, model = attend(shapes, dtype, causal=1)
    inputs = [np.random.default_rng(0).normal(size=(2, *shape)).astype(dtype) for shape in shapes]
    inputs[0][0, 1, 2] = np.nan
    inputs[1][1, 2, 0] = np.nan
    y = model.predict(inputs)[0]
    assert np.isnan(y[0]).all(axis=-1).tolist() == [False, True, False, False]
    assert np.isnan(y[1]).all(axis=-1).tolist() == [False, False, True, True] and not np.isnan(y[1, :2]).any()


def test_one_array_as_query_key_and_value(isa, dtype):
    """Its gradient is the sum of the three."""
    graph = Graph()
    x = graph.input((6, 4))
    graph.output(graph.node("attention", [x, x, x], heads=2, causal=1))
    model = Model(graph, dtype, max_rows=3, input_gradients=True)
    inputs, seeds = ([np.random.default_rng(k).normal(size=(3, 6, 4)).astype(dtype)] for k in range(2))
    step = model.gradients(inputs, seeds=seeds)
    gradients, _ = reference.OPS["attention"].backward([inputs[0].astype(float)] * 3, [], seeds[0], heads=2, causal=1)
    np.testing.assert_allclose(step.input_gradients[0], sum(gradients), rtol=0, atol=10 * TOLERANCE[dtype])


# ---- layers ---------------------------------------------------------------------------------------------------


def traced(number, case):
    """(model with Keras's weights, its inputs) of a case."""
    options = dict(case["options"])
    inputs = [fn.Input(shape) for shape in case["shapes"]]
    arrays = [TRACES[f"{number}/x/{k}"] for k in range(len(inputs))]
    tensors = list(inputs)
    if case["class_name"] == "Attention":
        tensors = [tensors]
    if case["class_name"] == "Attention" and case["mask"]:
        masks = [shape and fn.Input(shape) for shape in case["mask"]]
        options["mask"] = masks
        inputs += [mask for mask in masks if mask is not None]
        arrays += [TRACES[f"{number}/mask/{k}"] for k, mask in enumerate(masks) if mask is not None]
    elif case["mask"]:
        options["attention_mask"] = fn.Input(case["mask"])
        inputs.append(options["attention_mask"])
        arrays.append(TRACES[f"{number}/mask"])
    layer = getattr(layers, case["class_name"])(**case["arguments"])
    model = fn.Model(inputs, layer(*tensors, **options), seed=0, dtype="float64")
    model.set_weights([TRACES[f"{number}/w/{k}"] for k in range(len(layer.weights))])
    return model, arrays


@pytest.mark.parametrize("number", range(len(CASES)))
def test_like_keras(number, isa):
    """As far as Keras's softmax in float32 allows."""
    model, arrays = traced(number, CASES[number])
    names, given = (["y", "scores"], ["dy", "dscores"]) if f"{number}/scores" in TRACES else (["y"], ["dy"])
    for made in (model.predict(arrays), model.forward(arrays, training=True)):
        for y, name in zip(made if len(names) > 1 else [made], names):
            np.testing.assert_allclose(y, TRACES[f"{number}/{name}"], rtol=0, atol=2e-6)
    dy = [TRACES[f"{number}/{name}"] for name in given]
    gradients = model.backward(dy if len(dy) > 1 else dy[0])
    for k in range(len(CASES[number]["shapes"])):
        np.testing.assert_allclose(gradients[k], TRACES[f"{number}/dx/{k}"], rtol=0, atol=1e-5)
    for k, gradient in enumerate(model.gradients):
        # Of a bias of keys it is 0: adding the same to all scores changes nothing.
        np.testing.assert_allclose(gradient, TRACES[f"{number}/dw/{k}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_saved_and_repeated(number, tmp_path):
    """With the arguments of the call."""
    model, arrays = traced(number, CASES[number])
    expected = model.predict(arrays)
    model.save(tmp_path / "m")
    inputs = [fn.Input(tensor.sample_shape) for tensor in model.inputs]
    for again in (fn.load_model(tmp_path / "m"), fn.Model(inputs, model(inputs), dtype="float64")):
        found = again.predict(arrays)
        assert all(map(np.array_equal, found, expected)) if isinstance(expected, list) else np.array_equal(found, expected)


def self_attention(dropout=0.0, **options):
    x = fn.Input((6, 8))
    y = layers.MultiHeadAttention(2, 4, dropout=dropout, **options)(x, x, use_causal_mask=True)
    return fn.Model(x, layers.Dense(1)(layers.Flatten()(y)), seed=1)


def test_names_and_shapes_of_weights():
    layer = self_attention().layers[0]
    assert [weight.path for weight in layer.weights][:3] == [
        "multi_head_attention/query/kernel", "multi_head_attention/query/bias", "multi_head_attention/key/kernel"]  # fmt: skip
    assert layer.weights[6].path == "multi_head_attention/attention_output/kernel"
    assert [weight.shape for weight in layer.weights] == [(8, 2, 4), (2, 4)] * 3 + [(2, 4, 8), (8,)]


def test_dropout_is_for_training_and_a_function_of_the_seed():
    x = rows(5, 48).reshape(5, 6, 8)
    outputs = [self_attention(0.5, seed=seed).forward(x, training=True) for seed in (1, 1, 2)]
    assert np.array_equal(outputs[0], outputs[1]) and not np.array_equal(outputs[0], outputs[2])
    assert np.array_equal(self_attention(0.5).predict(x), self_attention(0.0).predict(x))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_it_learns_to_look_where_it_is_told(n_threads):
    """The value at the place that the first number of each sequence names."""
    random = np.random.default_rng(0)
    places = random.integers(1, 6, 512)
    x = np.zeros((512, 6, 8), np.float32)
    x[:, np.arange(6), np.arange(6)] = 1
    x[:, 1:, 7] = random.normal(size=(512, 5))
    x[:, 0, 7] = 0
    x[np.arange(512), 0, places] += 1
    y = x[np.arange(512), places, 7]
    inputs = fn.Input((6, 8))
    attended = layers.MultiHeadAttention(1, 8)(inputs, inputs)
    model = fn.Model(inputs, layers.Dense(1)(layers.Flatten()(attended)), seed=0)
    model.compile(fn.optimizers.Adam(0.02), "mse", n_threads=n_threads)
    history = model.fit(x, y, batch_size=64, epochs=40, verbose=0)
    assert history.history["loss"][-1] < 0.1 * np.var(y) < history.history["loss"][0]


def test_frozen(tmp_path):
    model = self_attention()
    model.layers[0].trainable = False
    before = model.layers[0].get_weights()
    model.compile("sgd", "mse")
    model.fit(rows(8, 48).reshape(8, 6, 8), rows(8, 1), epochs=2, verbose=0)
    assert all(map(np.array_equal, before, model.layers[0].get_weights()))
    assert model.trainable_weights == model.layers[2].weights


def test_the_scores_that_are_asked_for_are_those_without_dropout(isa, dtype):
    """They are no other where they are not asked for; sums of them, and gradients through them alone."""
    x = rows(5, 48).reshape(5, 6, 8)
    models = []
    for asked in (False, True):
        inputs = fn.Input((6, 8))
        y = layers.MultiHeadAttention(2, 4, dropout=0.4, seed=3)(inputs, inputs, return_attention_scores=asked)
        models.append(fn.Model(inputs, y, seed=1, dtype=dtype))
    plain, (y, scores) = models[0].forward(x, training=True), models[1].forward(x, training=True)
    assert np.array_equal(plain, y) and scores.shape == (5, 2, 6, 6)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
    alone = fn.Model(inputs, models[1].outputs[1], dtype=dtype)
    assert np.array_equal(alone.predict(x), scores)
    dy = np.random.default_rng(0).normal(size=scores.shape)
    gradient = models[1].backward([np.zeros_like(y), dy])
    alone.forward(x, training=True)
    np.testing.assert_allclose(alone.backward(dy), gradient, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_heads_are_divided_where_there_are_few_rows(n_rows, isa, dtype):
    """Long sequences of few rows: the same bits as a row of many, whatever the number of threads."""
    random = np.random.default_rng(0)
    steps, channels, attributes = 130, 48, {"heads": 6, "key_heads": 3, "causal": 1, "rate": 0.2, "seed": 1}
    inputs = [random.normal(size=(n_rows, steps, width)).astype(dtype) for width in (2 * channels, channels, channels)]
    seeds = [random.normal(size=(n_rows, steps, 2 * channels)).astype(dtype)]
    found = []
    for n_threads, max_rows in ((1, n_rows), (2, n_rows), (3, n_rows), (2, 3), (2, 16)):
        graph = Graph()
        graph.output(graph.node("attention", [graph.input(x.shape[1:]) for x in inputs], **attributes))
        model = Model(graph, dtype, max_rows=max_rows, n_threads=n_threads, input_gradients=True)
        found.append(model.gradients(inputs, seeds=seeds))
        assert_same_step(found[-1], found[0], 0, f"{n_threads} threads, {max_rows} rows")


def test_one_array_as_query_and_value_of_other_heads(isa, dtype):
    """Of few rows and much to do, so that threads divide the heads: queries of 4 heads of 8, values of 2 of 16."""
    x, keys = (np.random.default_rng(k).normal(size=(1, 200, width)).astype(dtype) for k, width in enumerate((32, 16)))
    seeds = [np.random.default_rng(5).normal(size=(1, 200, 64)).astype(dtype)]
    found = []
    for n_threads in (1, 2):
        graph = Graph()
        one, other = graph.input((200, 32)), graph.input((200, 16))
        graph.output(graph.node("attention", [one, other, one], heads=4, key_heads=2))
        model = Model(graph, dtype, max_rows=1, input_gradients=True, n_threads=n_threads)
        found.append(model.gradients([x, keys], seeds=seeds))
        assert_same_step(found[-1], reference_step(graph, [], [x, keys], seeds=seeds), TOLERANCE[dtype], floor=1)
    assert_same_step(*found, 0)


@pytest.mark.parametrize("name", ["query", "value"])
def test_masks_that_go_with_the_inputs_of_attention(name):
    """Padding changes nothing."""
    random = np.random.default_rng(0)
    query, value = random.normal(size=(3, 4, 5)), random.normal(size=(3, 6, 5))
    (query if name == "query" else value)[:, -2:] = 0
    inputs = [fn.Input((4, 5)), fn.Input((6, 5))]
    masked = [layers.Masking()(x) if which == name else x for x, which in zip(inputs, ("query", "value"))]
    y = fn.Model(inputs, layers.Attention()(masked), dtype="float64").predict([query, value])
    short = [query[:, :2], value] if name == "query" else [query, value[:, :4]]
    inputs = [fn.Input(x.shape[1:]) for x in short]
    expected = fn.Model(inputs, layers.Attention()(inputs), dtype="float64").predict(short)
    np.testing.assert_allclose(y[:, : expected.shape[1]], expected, rtol=1e-12)
    assert not y[:, expected.shape[1] :].any()


# ---- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"num_heads": 0}, "num_heads must be a positive integer"),
    ({"key_dim": 1.5}, "key_dim must be a positive integer, got 1.5"),
    ({"value_dim": -1}, "value_dim must be a positive integer"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ({"dropout": "much"}, "dropout must be a number, got 'much'"),
    ({"output_shape": (3, 0)}, "output_shape must be a positive integer"),
    ({"attention_axes": 2}, "attention_axes must be None or 1"),
    ({"sliding_window": 0}, "sliding_window must be a positive integer"),
    ({"flash_attention": "yes"}, "flash_attention must be None or a bool"),
    ({"seed": -1}, "seed must be between 0 and"),
    ({"seed": "x"}, "seed must be an integer or None"),
])  # fmt: skip
def test_bad_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"MultiHeadAttention: {message}"):
        layers.MultiHeadAttention(**{"num_heads": 2, "key_dim": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score_mode": "concat"}, "score_mode must be 'dot', got 'concat'"),
        ({"dropout": -0.1}, "dropout must be at least 0"),
        ({"seed": 0.5}, "seed must be an integer"),
    ],
)
def test_bad_arguments_of_attention(arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"Attention: {message}"):
        layers.Attention(**arguments)


def test_calls_of_attention_that_do_not_fit():
    x, short = fn.Input((4, 6)), fn.Input((3, 5))
    with pytest.raises(ValueError, match=r"layer 'a': key of shape \(3, 5\) for 1 heads fits neither 6 channels"):
        layers.Attention(name="a")([x, short])
    with pytest.raises(ValueError, match="layer 'a': mask must be a list of the masks of query and value"):
        layers.Attention(name="a")([x, x], mask=fn.Input((4,)))
    with pytest.raises(ValueError, match=r"layer 'a': expected a mask of shape \(4\)"):
        layers.Attention(name="a")([x, x], mask=[None, fn.Input((3,))])
    with pytest.raises(TypeError, match="layer 'a': .*'value'"):
        layers.Attention(name="a")([x])


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="num_query_heads must be a multiple of num_key_value_heads, got 5 and 2"):
        layers.GroupQueryAttention(4, 5, 2)


def test_shapes_that_do_not_fit():
    x, flat, short = fn.Input((4, 6)), fn.Input((6,)), fn.Input((3, 6))
    layer = layers.MultiHeadAttention(2, 3, name="m")
    with pytest.raises(ValueError, match=r"layer 'm': expected value of shape \(batch, steps, channels\), got \(None, 6\)"):
        layer(x, flat)
    with pytest.raises(ValueError, match=r"layer 'm': key of shape \(3, 6\) for 2 heads fits neither .* value of shape \(4, 6\)"):
        layers.MultiHeadAttention(2, 3, name="m")(x, x, short)
    with pytest.raises(ValueError, match=r"layer 'm': expected a mask of shape \(4\) or \(3, 4\).*got \(4, 3\)"):
        layers.MultiHeadAttention(2, 3, name="m")(short, x, attention_mask=fn.Input((4, 3)))
    with pytest.raises(TypeError, match="layer 'm': a mask must be a symbolic tensor, got list"):
        layers.MultiHeadAttention(2, 3, name="m")(x, x, attention_mask=[1, 0])
    with pytest.raises(TypeError, match="layer 'm': .*missing a required argument: 'value'"):
        layers.MultiHeadAttention(2, 3, name="m")(x)


@pytest.mark.parametrize(("attributes", "shapes", "message"), [
    ({"heads": 0}, ((3, 4),) * 3, "heads must be a whole number from 1 to 1073741824, got 0"),
    ({"heads": 4, "key_heads": 3}, ((3, 4),) * 3, "4 heads with 3 key heads"),
    ({"heads": 3}, ((3, 4),) * 3, r"channels a multiple of 3 heads, got \(3, 4\)"),
    ({}, ((3, 4), (4,), (3, 4)), r"expected key of shape \(steps, channels\)"),
    ({}, ((3, 4), (5, 3), (5, 3)), r"key of shape \(5, 3\) for 1 heads fits neither 4 channels"),
    ({"window": -2}, ((3, 4),) * 3, "window must be a whole number from 0 to 1073741824, got -2"),
    ({"scale": -1}, ((3, 4),) * 3, "scale must be a finite number of at least 0, got -1"),
    ({"rate": 1}, ((3, 4),) * 3, r"rate must be in \[0, 1\), got 1"),
    ({}, ((3, 4), (3, 4), (3, 4), (2, 3)), r"expected a mask of shape \(3\) or \(3, 3\)"),
])  # fmt: skip
def test_what_the_operation_refuses(attributes, shapes, message):
    with pytest.raises(ValueError, match=f"layer 'a': .*{message}"):
        fn._core.infer("attention", "a", shapes, attributes)


@pytest.mark.parametrize(("layer", "fans"), [
    (lambda: layers.MultiHeadAttention(4, 16), {"query": (32, 64), "key": (32, 64), "value": (32, 64), "attention_output": (64, 32)}),
    (lambda: layers.MultiHeadAttention(4, 16, 8, kernel_initializer="he_normal", bias_initializer="he_normal"),
     {"query": (32, 64), "value": (32, 32), "attention_output": (32, 32)}),
    (lambda: layers.GroupQueryAttention(16, 4, 2), {"query": (32, 64), "key": (32, 32), "attention_output": (64, 32)}),
])  # fmt: skip
def test_kernels_begin_as_those_of_keras(layer, fans):
    """Heads are units and no window: Keras 3.15's query kernels of the first have a root mean square of 0.1451, its output
    kernel 0.1448, and the key kernel of the last 0.1770; sqrt(2 / (fan_in + fan_out)) is 0.1443, 0.1443 and 0.1768."""
    x = fn.Input((5, 32))
    made = layer()
    fn.Model(x, made(x, x), seed=0)
    kernels = {weight.name.removesuffix("/kernel"): weight.value for weight in made.weights}
    for name, (fan_in, fan_out) in fans.items():
        by_mean = type(made.kernel_initializer).__name__ == "GlorotUniform"
        expected = (2 / (fan_in + fan_out if by_mean else fan_in)) ** 0.5
        np.testing.assert_allclose(np.square(kernels[name]).mean() ** 0.5, expected, rtol=0.05, err_msg=name)
        if by_mean:
            assert 0.97 * 3**0.5 * expected < np.abs(kernels[name]).max() <= 3**0.5 * expected
