"""Whole plans against the reference: 50 random networks, graphs of every form, random graphs, random shapes."""

import cases
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import UNTOUCHED, Graph, Model, assert_close, assert_same_step, reference_step

from fastnet import _core

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def rounded(arrays, dtype):
    """Arrays as the plan sees them; None stays."""
    return [None if array is None else np.asarray(array).astype(dtype) for array in arrays]


# ---- random networks ---------------------------------------------------------------------------------


def test_every_loss_has_a_head():
    assert set(cases.HEADS) == set(_core.registry("losses")) == set(reference.LOSSES)


@pytest.mark.parametrize("seed", range(cases.how_many(50)))
def test_random_network(seed, isa, dtype):
    """The first batch as one step, and the gradients of the last, smaller one after a pass over all rows."""
    network = cases.random_network(seed)
    graph, n_rows, size = network.graph, len(network.inputs[0]), network.batch_size
    inputs, targets, weights = (rounded(arrays, dtype) for arrays in (network.inputs, network.targets, network.weights))
    model = Model(graph, dtype, max_rows=size, n_threads=1 + seed % 3, input_gradients=True)

    def part(arrays, start, stop):
        return [None if array is None else array[start:stop] for array in arrays]

    steps = []
    for start in range(0, n_rows, size):
        batch = [part(arrays, start, min(start + size, n_rows)) for arrays in (inputs, targets, weights)]
        steps.append(reference_step(graph, model.weights, *batch))
    first = model.gradients(*(part(arrays, 0, size) for arrays in (inputs, targets, weights)))
    assert_same_step(first, steps[0], TOLERANCE[dtype], network.text)

    whole = model.gradients(inputs, targets, weights, batch_size=size)
    rows = np.diff([*range(0, n_rows, size), n_rows])
    assert_close(whole.losses, sum(step.losses * n for step, n in zip(steps, rows)) / n_rows, TOLERANCE[dtype], network.text)
    for i, gradient in enumerate(steps[-1].parameter_gradients):
        assert_close(whole.parameter_gradients[i], gradient, TOLERANCE[dtype], f"{network.text} parameter {i}")
    for name in ("outputs", "input_gradients"):
        expected = np.concatenate([getattr(step, name)[0] for step in steps])
        assert_close(getattr(whole, name)[0], expected, TOLERANCE[dtype], f"{network.text} {name}")


# ---- graphs of every form ----------------------------------------------------------------------------


def fan_out(graph):
    x = graph.input((5,))
    h = graph.dense(x, 6, "tanh")
    left, right = graph.dense(h, 4, "gelu", seed=1), graph.dense(h, 4, "sigmoid", seed=2)
    graph.output(graph.node("add", [left, right, graph.dense(h, 4, seed=3)]), "mean_squared_error")


def shared_parameters(graph):
    x = graph.input((4,))
    first = graph.dense(x, 4, "tanh", seed=1)
    used = graph.nodes[-1][3]
    second = graph.dense(first, 4, "softplus", parameters=used)
    graph.output(graph.dense(second, 4, parameters=used), "mean_squared_error")


def shared_parameters_on_two_inputs(graph):
    left, right = graph.input((3,)), graph.input((2, 3))
    a = graph.dense(left, 5, "tanh", seed=1)
    b = graph.reshape(graph.dense(right, 5, "gelu", parameters=graph.nodes[-1][3]), (10,))
    graph.output(graph.dense(graph.node("concatenate", [a, b]), 2, seed=2), "mean_squared_error")


def kernel_shared_without_bias(graph):
    x = graph.input((4,))
    y = graph.dense(x, 4, "tanh", seed=1)
    kernel = graph.nodes[-1][3][0]
    graph.output(graph.dense(y, 4, parameters=[kernel], use_bias=False), "mean_squared_error")


def twice_in_one_op(graph):
    x = graph.input((4,))
    h = graph.dense(x, 4, "tanh")
    square = graph.node("multiply", [h, h])
    cube = graph.node("multiply", [h, square, h])
    double = graph.node("concatenate", [cube, cube])
    graph.output(graph.node("subtract", [double, double]), "huber")
    graph.output(graph.node("maximum", [double, double]), "mean_squared_error")
    graph.output(graph.node("average", [h, h, square]), "mean_squared_error", 0.5)


def several_inputs_and_outputs(graph):
    a, b, c = graph.input((3,)), graph.input((2, 2)), graph.input((1,))
    flat = graph.reshape(b, (4,))
    h = graph.dense(graph.node("concatenate", [a, flat, c]), 7, "relu", seed=4)
    graph.output(graph.dense(h, 3, seed=1), "categorical_crossentropy", 0.3, from_logits=1)
    graph.output(graph.dense(h, 3, seed=2), "sparse_categorical_crossentropy", 2.0, from_logits=1)
    graph.output(graph.dense(flat, 1, "sigmoid", seed=3), "binary_crossentropy")
    graph.output(h)


def alias_as_output(graph):
    x = graph.input((6,))
    graph.output(graph.reshape(graph.dense(x, 6, "tanh"), (2, 3)), "mean_squared_error")


def alias_with_fan_out(graph):
    x = graph.input((6,))
    h = graph.dense(x, 12, "gelu")
    tall, wide = graph.reshape(h, (4, 3)), graph.reshape(h, (3, 4))
    again = graph.reshape(tall, (12,))
    graph.output(graph.dense(tall, 2, "tanh", seed=1), "mean_squared_error")
    graph.output(graph.dense(wide, 2, seed=2), "huber")
    graph.output(graph.node("add", [again, h]), "log_cosh")


def alias_of_an_input(graph):
    x = graph.input((2, 3))
    flat = graph.reshape(x, (-1,))
    graph.output(graph.dense(flat, 3, "tanh"), "mean_squared_error")
    graph.output(flat)
    graph.output(graph.dense(x, 2, seed=1))


def output_that_others_consume(graph):
    x = graph.input((5,))
    h = graph.dense(x, 4, "tanh")
    graph.output(h, "mean_squared_error")
    g = graph.dense(h, 4, "gelu", seed=1)
    graph.output(g)
    graph.output(graph.node("multiply", [h, g]), "huber", 3.0)


def one_value_two_outputs(graph):
    x = graph.input((5,))
    h = graph.dense(x, 4, "tanh")
    graph.output(h, "mean_squared_error")
    graph.output(h)
    graph.output(graph.reshape(h, (2, 2)))


def results_nobody_needs(graph):
    x, unused = graph.input((5,)), graph.input((3,))
    h = graph.dense(x, 4, "tanh")
    dead = graph.dense(h, 8, "gelu", seed=1)
    graph.node("softmax", [graph.dense(dead, 3, seed=2)])
    graph.dense(unused, 2, seed=4)
    graph.output(graph.dense(h, 2, seed=3), "mean_squared_error")


def frozen_in_the_middle(graph):
    x = graph.input((5,))
    h = graph.dense(x, 6, "tanh")
    h = graph.dense(h, 6, "gelu", seed=1, trainable=False)
    graph.output(graph.dense(h, 2, seed=2), "mean_squared_error")


def frozen_at_the_start(graph):
    x = graph.input((5,))
    h = graph.dense(x, 6, "tanh", trainable=False)
    graph.output(graph.dense(h, 2, seed=2), "mean_squared_error")


def everything_frozen(graph):
    graph.output(graph.dense(graph.input((5,)), 6, "gelu", trainable=False), "mean_squared_error")


def frozen_kernel_trained_bias(graph):
    x = graph.input((3,))
    random = np.random.default_rng(0)
    kernel, bias = graph.parameter(random.normal(size=(3, 4)), False), graph.parameter(random.normal(size=4), True)
    h = graph.dense(x, 4, "tanh", parameters=[kernel, bias])
    kernel, bias = graph.parameter(random.normal(size=(4, 2)), True), graph.parameter(random.normal(size=2), False)
    graph.output(graph.dense(h, 2, parameters=[kernel, bias]), "mean_squared_error")


def no_parameters(graph):
    a, b = graph.input((2, 4)), graph.input((2, 4))
    h = graph.node("log_softmax", [graph.node("minimum", [a, b])])
    graph.output(h, "mean_squared_error")
    graph.output(graph.node("softmax", [h]))


def input_is_the_output(graph):
    graph.output(graph.input((3,)), "mean_squared_error")


def higher_rank(graph):
    x = graph.input((2, 3, 2, 2))
    h = graph.dense(graph.dense(x, 3, "tanh"), 2, "gelu", seed=1)
    graph.output(graph.node("concatenate", [h, h], axis=1), "mean_squared_error")
    graph.output(graph.dense(h, 4, seed=2), "sparse_categorical_crossentropy", from_logits=1)


def scaled_input(graph):
    x = graph.input((2, 2), scale=[0.5, 2, -1, 0], shift=[1, 0, 0.25, -3])
    graph.output(graph.dense(x, 3, "tanh"), "mean_squared_error")


def long_chain(graph):
    """Many layers of different widths: memory is used anew all the way."""
    h = graph.input((9,))
    skip = None
    for i in range(12):
        h = graph.dense(h, 3 + 5 * (i % 4), ["tanh", "gelu", "relu", "sigmoid"][i % 4], seed=i)
        if i == 2:
            skip = h
        if i == 10:
            h = graph.node("add", [h, skip])
    graph.output(h, "mean_squared_error")


def column_path(graph):
    """A kernel beyond the size up to which products are divided by rows, between small ones."""
    h = graph.dense(graph.input((9,)), 800, "tanh")
    wide = graph.dense(h, 700, "gelu", seed=1)
    shared = graph.nodes[-1][3]
    again = graph.dense(graph.node("multiply", [h, h]), 700, parameters=shared)
    graph.output(graph.dense(graph.node("add", [wide, again]), 2, seed=2), "mean_squared_error")


FORMS = [
    fan_out,
    shared_parameters,
    shared_parameters_on_two_inputs,
    kernel_shared_without_bias,
    twice_in_one_op,
    several_inputs_and_outputs,
    alias_as_output,
    alias_with_fan_out,
    alias_of_an_input,
    output_that_others_consume,
    one_value_two_outputs,
    results_nobody_needs,
    frozen_in_the_middle,
    frozen_at_the_start,
    everything_frozen,
    frozen_kernel_trained_bias,
    no_parameters,
    input_is_the_output,
    higher_rank,
    scaled_input,
    long_chain,
    column_path,
]


def data_for(graph, n_rows, dtype, seed=0):
    """Inputs, targets, weights and seeds: each output with a loss has targets, the others seeds."""
    random = np.random.default_rng(seed)
    inputs = [random.normal(size=(n_rows, *shape)) for shape, _, _ in graph.inputs]
    targets = [
        None if loss is None else cases.target_for(loss, graph.shapes[value], n_rows, random) for value, loss, *_ in graph.outputs
    ]
    axes = [1 + i // 2 % len(graph.shapes[value]) for i, (value, *_) in enumerate(graph.outputs)]  # of rows, lines, positions
    weights = [random.uniform(0, 2, (n_rows, *graph.shapes[value])[:k]) if i % 2 else None
               for i, ((value, *_), k) in enumerate(zip(graph.outputs, axes))]  # fmt: skip
    seeds = [random.normal(size=(n_rows, *graph.shapes[value])) if loss is None else None for value, loss, *_ in graph.outputs]
    return [rounded(arrays, dtype) for arrays in (inputs, targets, weights, seeds)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_form(form, isa, dtype):
    graph = Graph()
    form(graph)
    for n_rows, n_threads, input_gradients in [(1, 1, True), (7, 1, False), (7, 2, True), (7, 3, True), (7, 3, False)]:
        inputs, targets, weights, seeds = data_for(graph, n_rows, dtype)
        model = Model(graph, dtype, max_rows=8, n_threads=n_threads, input_gradients=input_gradients)
        step = model.gradients(inputs, targets, weights, seeds)
        expected = reference_step(graph, model.weights, inputs, targets, weights, seeds)
        assert_same_step(step, expected, TOLERANCE[dtype], f"{n_rows} rows, {n_threads} threads", floor=0.01)
        assert_same_step(model.gradients(inputs, targets, weights, seeds), step, 0, "the second time")
        inference = Model(graph, dtype, max_rows=8, n_threads=n_threads, training=False)
        for output, same in zip(inference.predict(inputs), step.outputs):
            assert np.array_equal(output, same)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_slabs_outside_of_gradients_are_untouched(form, dtype):
    """A backward pass writes the gradients of trained parameters and nothing else of the slabs."""
    graph = Graph()
    form(graph)
    model = Model(graph, dtype, max_rows=5, gap=2)
    inputs, targets, weights, seeds = data_for(graph, 5, dtype)
    before = model.parameter_slab.copy()
    model.gradient_slab[:] = UNTOUCHED
    step = model.gradients(inputs, targets, weights, seeds)
    assert np.array_equal(model.parameter_slab, before)
    for view, gradient in zip(model.gradient_views, step.parameter_gradients):
        assert (gradient is None) == np.all(view == UNTOUCHED)
        view[...] = UNTOUCHED
    assert np.all(model.gradient_slab == UNTOUCHED)


def test_outputs_without_seeds_contribute_nothing(isa, dtype):
    """A backward pass without SEED is one with seeds of zero, whatever ran before."""
    graph = Graph()
    output_that_others_consume(graph)
    model = Model(graph, dtype, max_rows=6, input_gradients=True)
    inputs, targets, weights, seeds = data_for(graph, 6, dtype)
    model.gradients(inputs, targets, weights, seeds)
    for nothing in (None, [None] * 3):
        assert_same_step(
            model.gradients(inputs, targets, weights, nothing),
            reference_step(graph, model.weights, inputs, targets, weights),
            TOLERANCE[dtype],
        )


def test_forward_and_backward_in_two_calls(isa, dtype):
    """As a custom training loop does: the outputs first, then gradients for them."""
    graph = Graph()
    x = graph.input((4,))
    h = graph.dense(x, 5, "gelu")
    graph.output(graph.dense(h, 3, "tanh", seed=1))
    for n_threads in (1, 3):
        model = Model(graph, dtype, max_rows=6, n_threads=n_threads, input_gradients=True)
        inputs, _, _, seeds = data_for(graph, 5, dtype)
        whole = model.gradients(inputs, seeds=seeds)
        assert np.array_equal(model.predict(inputs)[0], whole.outputs[0])
        gradients = np.full((5, 4), np.nan, dtype)
        model.gradient_slab[:] = UNTOUCHED
        model.plan.run(
            _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.FETCH_GRADIENTS,
            n_rows=5,
            batch_size=5,
            output_gradients=seeds,
            input_gradients=[gradients],
        )
        assert np.array_equal(gradients, whole.input_gradients[0])
        for view, expected in zip(model.gradient_views, whole.parameter_gradients):
            assert np.array_equal(view, expected)


def test_arrays_that_are_not_wanted_are_none(dtype):
    graph = Graph()
    several_inputs_and_outputs(graph)
    model = Model(graph, dtype, max_rows=4, input_gradients=True)
    inputs, targets, weights, seeds = data_for(graph, 4, dtype)
    whole = model.gradients(inputs, targets, weights, seeds)
    outputs, gradients = model.output_arrays(4), [np.empty((4, 3), dtype), None, None]
    model.plan.run(
        _core.FORWARD | _core.LOSS | _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.FETCH | _core.FETCH_GRADIENTS,
        n_rows=4,
        batch_size=4,
        inputs=inputs,
        targets=targets,
        weights=weights,
        output_gradients=seeds,
        outputs=[None, outputs[1], None, None],
        input_gradients=gradients,
    )
    assert np.array_equal(outputs[1], whole.outputs[1])
    assert np.isnan(outputs[0]).all()
    assert np.array_equal(gradients[0], whole.input_gradients[0])


def test_metrics_are_summed_over_the_batches(isa, dtype):
    """Several metrics of several outputs, over batches with a smaller last one."""
    graph = Graph()
    x = graph.input((6,))
    graph.output(graph.dense(x, 4, seed=1), "sparse_categorical_crossentropy", from_logits=1)
    graph.output(graph.dense(x, 3, "sigmoid", seed=2), "mean_squared_error")
    for name, output in [
        ("sparse_categorical_accuracy", 0),
        ("mean_squared_error", 1),
        ("categorical_confusion", 0),
        ("mean_absolute_error", 1),
    ]:
        graph.metric(name, output)
    for n_threads in (1, 3):
        model = Model(graph, dtype, max_rows=5, n_threads=n_threads, training=False)
        inputs, targets, _, _ = data_for(graph, 23, dtype)
        metrics = np.ones(model.plan.metric_size)
        outputs = model.output_arrays(23)
        model.plan.run(
            _core.FORWARD | _core.LOSS | _core.FETCH,
            n_rows=23,
            batch_size=5,
            inputs=inputs,
            targets=targets,
            outputs=outputs,
            metrics=metrics,
        )
        expected = [
            reference.METRICS[name].accumulators(
                targets[output].astype("float64"), outputs[output].astype("float64"), **attributes
            )
            for name, attributes, output in graph.metrics
        ]
        assert_close(metrics, 1 + np.concatenate(expected), 1e-6 if dtype == "float32" else 1e-12)


# ---- random graphs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(cases.how_many(60)))
def test_random_graph(seed, isa, dtype):
    network = cases.random_graph(seed)
    graph = network.graph
    inputs, targets = rounded(network.inputs, dtype), rounded(network.targets, dtype)
    seeds = rounded(cases.seeds_for(network, seed), dtype)
    model = Model(graph, dtype, max_rows=len(inputs[0]) + seed % 2, n_threads=1 + seed % 3, input_gradients=True)
    with np.errstate(all="ignore"):
        expected = reference_step(graph, model.weights, inputs, targets, seeds=seeds)
    actual = model.gradients(inputs, targets, seeds=seeds)
    assert_same_step(actual, expected, TOLERANCE[dtype], network.text, floor=0.01)
    info = model.plan.info()
    assert 0 < info["live_bytes"] <= info["arena_bytes"]


@settings(max_examples=cases.how_many(150))
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_graphs_of_any_size_agree_with_the_reference(seed, n_nodes):
    """If two arrays that live together shared a byte, some result would be wrong."""
    network = cases.random_graph(seed, n_nodes)
    seeds = cases.seeds_for(network, seed)
    model = Model(network.graph, "float64", max_rows=len(network.inputs[0]), n_threads=1 + seed % 3, input_gradients=True)
    with np.errstate(all="ignore"):
        expected = reference_step(network.graph, model.weights, network.inputs, network.targets, seeds=seeds)
    actual = model.gradients(network.inputs, network.targets, seeds=seeds)
    assert_same_step(actual, expected, 1e-9, network.text, floor=0.01)
    info = model.plan.info()
    assert 0 < info["live_bytes"] <= info["arena_bytes"] <= 2 * info["live_bytes"]


@settings(max_examples=cases.how_many(150))
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"]),
    st.sampled_from(["float32", "float64"]),
    st.integers(1, 3),
    st.data(),
)
def test_any_shape_of_dense_and_merge(shape, units, n_rows, use_bias, merge, dtype, n_threads, data):
    graph = Graph()
    x = graph.input(shape if len(shape) < 3 else [1 + size % 4 for size in shape])
    activation = data.draw(st.sampled_from(sorted(_core.registry("activations"))))
    left = graph.dense(x, units, activation, seed=1, use_bias=use_bias)
    right = graph.dense(x, units, "tanh", seed=2)
    graph.output(graph.node(merge, [left, right]), "mean_squared_error")
    inputs, targets, _, _ = data_for(graph, n_rows, dtype)
    model = Model(graph, dtype, max_rows=n_rows + data.draw(st.integers(0, 9)), n_threads=n_threads, input_gradients=True)
    assert_same_step(
        model.gradients(inputs, targets), reference_step(graph, model.weights, inputs, targets), TOLERANCE[dtype], floor=0.01
    )


# ---- what a plan says of itself ----------------------------------------------------------------------


def test_info_and_labels(isa, dtype):
    graph = Graph()
    fan_out(graph)
    plan = Model(graph, dtype, max_rows=4, optimizer="adam").plan
    info, labels = plan.info(), plan.stage_labels()
    assert info["isa"] == isa and info["n_threads"] == 1
    assert len(labels) == info["stages"] > info["barriers"] > 0
    assert {"gather", "dense forward", "add", "mean_squared_error", "dense backward", "adam"} <= set(labels)
    assert plan.max_rows == 4 and plan.dtype == dtype
    assert (plan.input_widths, plan.output_widths, plan.target_widths) == ([5], [4], [4])


def test_plans_keep_their_instruction_set():
    graph = Graph()
    fan_out(graph)
    before = _core.isa()
    try:
        plans = {}
        for name in _core.available_isas():
            _core.select_isa(name)
            plans[name] = Model(graph, "float32", max_rows=4).plan
        assert {name: plan.info()["isa"] for name, plan in plans.items()} == {name: name for name in plans}
    finally:
        _core.select_isa(before)
