"""Every status of the engine is produced by some bad input, as the exception that belongs to it, with a message that
names the layer or argument, what was given and what was expected. Bad arrays are refused, never read."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from cases import VECTOR_BYTES
from plans import Graph, Model, aligned

from fastnet import _core

STEP = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE


def make_plan(**changes):
    """A plan of a dense layer from 3 to 2 numbers, except for the changes."""
    description = {
        "dtype": "float32",
        "max_rows": 4,
        "training": True,
        "inputs": [((3,), None, None)],
        "nodes": [("dense", "first", [0], [0, 1], {"units": 2})],
        "parameters": [((3, 2), 0, True), ((2,), 16, True)],
        "outputs": [(1, "mean_squared_error", {}, 1.0, "head")],
        "optimizer": "sgd",
        "parameter_slab": aligned(32, "float32"),
        "gradient_slab": aligned(32, "float32"),
        "n_threads": 1,
    }
    return _core.Plan(**{**description, **changes})


def dense(**attributes):
    return [("dense", "first", [0], [0, 1], {"units": 2, **attributes})]


def add(*shapes):
    _core.infer("add", "sum", list(shapes), {})


def run(plan=None, **changes):
    """A training step of that plan, except for the changes."""
    arguments = {
        "n_rows": 4,
        "batch_size": 4,
        "inputs": [np.ones((4, 3), "float32")],
        "targets": [np.ones((4, 2), "float32")],
        "hyper": _core.hyper_parameters("sgd", {}),
    }
    return (plan or make_plan()).run(changes.pop("phases", STEP), **{**arguments, **changes})


def run_diverging():
    run(inputs=[np.full((4, 3), np.inf, "float32")], step=41)


#: Status: (what produces it, what its message says).
CASES = [
    ("OK", make_plan, None),
    ("ERROR_MEMORY", lambda: make_plan(max_rows=1 << 60), "'input' needs 3 numbers for each of 1152921504606846976"),
    ("ERROR_MEMORY", lambda: make_plan(max_rows=1 << 42), "out of memory"),
    ("ERROR_NAME", lambda: _core.infer("convolute", "c", [(3,)], {}), "'convolute'"),
    ("ERROR_NAME", lambda: _core.infer_target("loss_of_time", {}, (3,)), "'loss_of_time'"),
    ("ERROR_NAME", lambda: _core.activation_index("jump"), "'jump'"),
    ("ERROR_NAME", lambda: make_plan(optimizer="luck"), "'luck'"),
    ("ERROR_NAME", lambda: make_plan(metrics=[("beauty", {}, 0)]), "'beauty'"),
    ("ERROR_NAME", lambda: _core.infer("dense", "first", [(3,)], {"neurons": 2}), "dense has no attribute 'neurons'"),
    ("ERROR_SHAPE", lambda: add((3,), (4,)), r"'sum'.*\(3,\) and \(4,\) \(input 1\)"),
    ("ERROR_SHAPE", lambda: add((3,), (3, 1)), r"'sum'.*\(3,\) and \(3, 1\)"),
    ("ERROR_SHAPE", lambda: add(), "'sum': got 0 inputs, expected at least 1"),
    ("ERROR_SHAPE", lambda: _core.infer("dense", "d", [(3,), (3,)], {"units": 1}), "'d': got 2 inputs, expected 1"),
    ("ERROR_SHAPE", lambda: _core.infer("subtract", "s", [(3,)] * 3, {}), "'s': got 3 inputs, expected 2"),
    ("ERROR_SHAPE", lambda: _core.infer("dense", "d", [()], {"units": 1}), r"'d'.*at least one axis, got \(\)"),
    ("ERROR_SHAPE", lambda: _core.infer("dense", "d", [(3, 0)], {"units": 1}), "d: axis 1 has size 0"),
    ("ERROR_SHAPE", lambda: _core.infer("dense", "d", [(1 << 40,)], {"units": 1 << 20}), "'d'.*too large"),
    ("ERROR_SHAPE", lambda: _core.infer("add", "s", [(1 << 30,) * 3], {}), "s: the shape is too large"),
    ("ERROR_SHAPE", lambda: _core.infer("add", "s", [(1,) * 7], {}), "s: shape .* has 7 axes; at most 6"),
    (
        "ERROR_SHAPE",
        lambda: _core.infer("concatenate", "c", [(2, 3), (3, 3)], {"axis": 1}),
        r"'c'.*all axes but 1, got \(2, 3\) and \(3, 3\) \(input 1\)",
    ),
    (
        "ERROR_SHAPE",
        lambda: _core.infer("reshape", "r", [(2, 3)], {"rank": 2, "size_0": 4, "size_1": -1}),
        r"'r': cannot reshape \(2, 3\) into \(4, -1\)",
    ),
    ("ERROR_SHAPE", lambda: _core.infer("softmax", "s", [()], {}), r"s: softmax needs at least one axis, got .* \(\)"),
    ("ERROR_SHAPE", lambda: make_plan(inputs=[((3, -1), None, None)], parameters=[], nodes=[]), "input: axis 1 has size -1"),
    (
        "ERROR_SHAPE",
        lambda: make_plan(parameters=[((2, 3), 0, True), ((2,), 16, True)]),
        r"'first': parameter 0 has shape \(2, 3\), expected \(3, 2\)",
    ),
    (
        "ERROR_SHAPE",
        lambda: make_plan(nodes=[("dense", "first", [0], [0], {"units": 2})]),
        "'first': got 1 parameters, expected 2",
    ),
    ("ERROR_SHAPE", lambda: make_plan(max_rows=0), "batch_size must be at least 1, got 0"),
    ("ERROR_SHAPE", lambda: run(batch_size=5), "batch_size must be between 1 and 4, got 5"),
    ("ERROR_SHAPE", lambda: run(batch_size=0), "between 1 and 4, got 0"),
    ("ERROR_SHAPE", lambda: run(first_row=4), "first row 4 of 4"),
    ("ERROR_SHAPE", lambda: run(first_row=-1), "first row -1 of 4"),
    ("ERROR_SHAPE", lambda: _core.infer_target("categorical_crossentropy", {}, (1,)), "at least 2, got 1"),
    (
        "ERROR_ATTRIBUTE",
        lambda: make_plan(nodes=dense(units=0)),
        "'first': units must be a whole number from 1 to 1073741824, got 0",
    ),
    ("ERROR_ATTRIBUTE", lambda: make_plan(nodes=dense(units=2.5)), "'first': units must be .*, got 2.5"),
    ("ERROR_ATTRIBUTE", lambda: make_plan(nodes=dense(units=np.nan)), "'first': units must be .*, got nan"),
    (
        "ERROR_ATTRIBUTE",
        lambda: make_plan(nodes=dense(activation=99)),
        "'first': activation must be a whole number from 0 to .*, got 99",
    ),
    (
        "ERROR_ATTRIBUTE",
        lambda: make_plan(nodes=dense(activation=_core.activation_index("elu"), alpha=-1)),
        "'first': alpha must be a finite number of at least 0, got -1",
    ),
    ("ERROR_ATTRIBUTE", lambda: _core.infer("activation", "a", [(3,)], {"activation": -1}), "'a': activation must be .*, got -1"),
    ("ERROR_ATTRIBUTE", lambda: _core.infer("concatenate", "c", [(3,)], {"axis": 1}), r"'c': axis 1 of .* \(3,\)"),
    (
        "ERROR_ATTRIBUTE",
        lambda: _core.infer("reshape", "r", [(3,)], {"rank": 7}),
        "'r': rank must be a whole number from 0 to 6, got 7",
    ),
    ("ERROR_ATTRIBUTE", lambda: make_plan(n_threads=-1), "n_threads must be .*, got -1"),
    ("ERROR_ATTRIBUTE", lambda: make_plan(n_threads=1 << 20), "n_threads must be .*, got 1048576"),
    ("ERROR_ATTRIBUTE", lambda: make_plan(outputs=[(1, "huber", {"delta": -1}, 1.0, "head")]), "delta .*, got -1"),
    (
        "ERROR_GRAPH",
        lambda: make_plan(nodes=[("dense", "first", [1], [0, 1], {"units": 2})]),
        "'first': input 0 is value 1, of 1 made so far",
    ),
    ("ERROR_GRAPH", lambda: make_plan(nodes=[("dense", "first", [-1], [0, 1], {"units": 2})]), "'first': .* value -1"),
    ("ERROR_GRAPH", lambda: make_plan(nodes=[("dense", "first", [0], [0, 2], {"units": 2})]), "'first': parameter 2 of 2"),
    ("ERROR_GRAPH", lambda: make_plan(parameters=[((3, 2), 0, True), ((2,), 6, True)]), "parameter 1: offset 6 is not aligned"),
    ("ERROR_GRAPH", lambda: make_plan(outputs=[(2, None, {}, 1.0, "head")]), "output 0 is value 2, of 2"),
    ("ERROR_GRAPH", lambda: make_plan(outputs=[]), "at least one input and one output"),
    ("ERROR_GRAPH", lambda: make_plan(outputs=[(1, None, {}, 1.0, "head")] * 17), "at most 16 outputs, got 17"),
    ("ERROR_GRAPH", lambda: make_plan(metrics=[("mean_squared_error", {}, 1)]), "'mean_squared_error': output 1"),
    ("ERROR_DTYPE", lambda: make_plan(dtype="float16"), "float32 or float64, not 'float16'"),
    ("ERROR_ISA", lambda: _core.select_isa("abacus"), "'abacus'; known: baseline"),
    ("ERROR_LABEL", lambda: _core.check_labels(np.array([0, 1, 7]), 3), "y: label 7 in row 2 .* from 0 to 2"),
    ("ERROR_DATA", lambda: _core.first_not_finite(np.array([[1.0], [np.nan]])), 1),
    ("ERROR_DIVERGED", run_diverging, "the loss became (nan|inf|-inf) at step 41; the weights are those from before"),
    ("ERROR_STATE", lambda: run(make_plan(training=False, optimizer=None), hyper=None), "not made for phases 0xc"),
    (
        "ERROR_STATE",
        lambda: run(phases=STEP | _core.FETCH_GRADIENTS, input_gradients=[np.ones((4, 3), "float32")]),
        "not made for phases 0x40",
    ),
    ("ERROR_STATE", lambda: run(inputs=None), "an array that this call needs is missing"),
    ("ERROR_STATE", lambda: run(targets=None), "missing"),
    ("ERROR_STATE", lambda: run(hyper=None), "missing"),
    ("ERROR_STATE", lambda: run(make_plan(metrics=[("mean_squared_error", {}, 0)])), "missing"),
    ("ERROR_STATE", lambda: run(phases=STEP | _core.FETCH), "missing"),
    ("ERROR_STATE", lambda: run(phases=STEP | _core.OUTPUT_GRADIENT), "missing"),
]


def test_every_status_has_a_case():
    """But those of files and of versions of structs, which only programs in C see; see test_c_models.py and tests/c/test_status.c."""
    assert {name for name, _, _ in CASES} | {"ERROR_FILE", "ERROR_SIZE"} == {name for name, _, _ in _core.statuses()}


def test_statuses_have_an_exception_and_a_meaning():
    for name, exception, meaning in _core.statuses():
        assert (exception is None) == (name == "OK") and meaning
        assert exception is None or issubclass(exception, Exception)


@pytest.mark.parametrize(("status", "function", "message"), CASES, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)])
def test_status(status, function, message):
    if status == "ERROR_MEMORY" and "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the address sanitizer ends a process that asks for too much")
    exception = {name: exception for name, exception, _ in _core.statuses()}[status]
    if exception is None:
        function()
    elif isinstance(message, int):  # a status that becomes the number of the row
        assert function() == message
    else:
        with pytest.raises(exception, match=message):
            function()


def test_a_missing_instruction_set_is_named():
    missing = set(VECTOR_BYTES) - set(_core.available_isas())
    for name in missing:
        with pytest.raises(ValueError, match=f"'{name}' is not available on this machine"):
            _core.select_isa(name)


# ---- arrays ------------------------------------------------------------------------------------------


def float32(*shape):
    return np.ones(shape, "float32")


def read_only(array):
    array.flags.writeable = False
    return array


OUTPUTS = STEP | _core.FETCH
OUTPUT_GRADIENTS = _core.FORWARD | _core.OUTPUT_GRADIENT | _core.BACKWARD

#: Changes of a call, and what the exception says.
BAD_ARRAYS = {
    "input of a wrong dtype": ({"inputs": [np.ones((4, 3), "float16")]}, "got float16"),
    "input of objects": ({"inputs": [np.ones((4, 3), object)]}, "got object"),
    "input of booleans": ({"inputs": [np.ones((4, 3), bool)]}, "got bool"),
    "input with the other byte order": ({"inputs": [np.ones((4, 3), np.dtype("f4").newbyteorder())]}, "byte order"),
    "input with too few rows": ({"inputs": [float32(3, 3)]}, r"at least 4 rows, got shape \(3, 3\)"),
    "input with rows too short": ({"inputs": [float32(4, 2)]}, "expected 3 numbers in each row, got 2"),
    "input without axes": ({"inputs": [np.array(1, "float32")]}, "at least 4 rows"),
    "input with scattered rows": ({"inputs": [float32(3, 4).T]}, "not contiguous"),
    "input with every other column": ({"inputs": [float32(4, 6)[:, ::2]]}, "not contiguous"),
    "inputs too many": ({"inputs": [float32(4, 3)] * 2}, "got 2 inputs, expected 1"),
    "inputs none": ({"inputs": []}, "got 0 inputs, expected 1"),
    "input that is a list": ({"inputs": [[[1.0] * 3] * 4]}, "ndarray"),
    "input that is None": ({"inputs": [None]}, "expected an array, got None"),
    "target that is None": ({"targets": [None]}, "expected an array, got None"),
    "targets too few": ({"targets": []}, "got 0 targets, expected 1"),
    "target with rows too long": ({"targets": [float32(4, 3)]}, "expected 2 numbers in each row, got 3"),
    "target with too few rows": ({"targets": [float32(2, 2)]}, "at least 4 rows"),
    "weights too few": ({"weights": []}, "got 0 weights, expected 1"),
    "weight with too few rows": ({"weights": [float32(2)]}, "at least 4 rows"),
    "weight with two numbers": ({"weights": [float32(4, 2)]}, "2 weights for each row, which do not divide its 1 positions"),
    "order of a wrong dtype": ({"order": np.arange(4, dtype="int32")}, "order must be .* int64"),
    "order too short": ({"order": np.arange(3)}, "order must be .* for each row"),
    "order not contiguous": ({"order": np.arange(8)[::2]}, "order must be a contiguous"),
    "order of two axes": ({"order": np.arange(8).reshape(4, 2)}, "order must be"),
    "order that is a list": ({"order": [0, 1, 2, 3]}, "order"),
    "hyper of a wrong dtype": ({"hyper": np.ones(3, "float32")}, "hyper must be an array of float64"),
    "hyper with too few columns": ({"hyper": np.ones(2)}, "hyper must be .* columns"),
    "hyper with too few rows": (
        {"batch_size": 1, "hyper": np.tile(_core.hyper_parameters("sgd", {}), (3, 1))},
        "hyper has 3 rows, expected one for each of 4 steps",
    ),
    "hyper not contiguous": ({"hyper": np.repeat(_core.hyper_parameters("sgd", {}), 2)[::2]}, "hyper must be"),
    "loss_sum of a wrong dtype": ({"loss_sum": float32(2)}, "loss_sum must be .* float64"),
    "loss_sum too short": ({"loss_sum": np.zeros(1)}, "loss_sum must be"),
    "loss_sum that is a number": ({"loss_sum": np.array(1.0)}, "loss_sum must be"),
    "loss_sum not contiguous": ({"loss_sum": np.zeros(4)[::2]}, "loss_sum must be a contiguous writeable array"),
    "loss_sum backwards": ({"loss_sum": np.zeros(2)[::-1]}, "loss_sum must be a contiguous writeable array"),
    "loss_sum read-only": ({"loss_sum": read_only(np.zeros(2))}, "loss_sum must be a contiguous writeable array"),
    "loss_sum with the other byte order": ({"loss_sum": np.zeros(2, np.dtype("f8").newbyteorder())}, "loss_sum must"),
    "metrics backwards": ({"metrics": np.zeros(2)[::-1]}, "metrics must be a contiguous writeable array"),
    "metrics of a wrong dtype": ({"metrics": float32(2)}, "metrics must be"),
    "output of a wrong dtype": ({"phases": OUTPUTS, "outputs": [np.zeros((4, 2))]}, "outputs: .* of float32"),
    "output with the other byte order": (
        {"phases": OUTPUTS, "outputs": [np.zeros((4, 2), np.dtype("f4").newbyteorder())]},
        "outputs: .* of float32",
    ),
    "output too small": ({"phases": OUTPUTS, "outputs": [float32(3, 2)]}, "outputs: array 0 has 6 numbers, expected 8"),
    "output not contiguous": ({"phases": OUTPUTS, "outputs": [float32(4, 4)[:, :2]]}, "outputs: .* contiguous"),
    "output in Fortran's order": ({"phases": OUTPUTS, "outputs": [float32(2, 4).T]}, "outputs: .* contiguous"),
    "output read-only": ({"phases": OUTPUTS, "outputs": [read_only(float32(4, 2))]}, "outputs: "),
    "outputs too many": ({"phases": OUTPUTS, "outputs": [float32(4, 2)] * 2}, "outputs: got 2 arrays, expected 1"),
    "output that is a list": ({"phases": OUTPUTS, "outputs": [[0.0] * 8]}, "ndarray"),
    "output gradients too few": (
        {"phases": OUTPUT_GRADIENTS, "output_gradients": []},
        "output_gradients: got 0 arrays, expected 1",
    ),
    "output gradient of a wrong dtype": (
        {"phases": OUTPUT_GRADIENTS, "output_gradients": [np.zeros((4, 2))]},
        "output_gradients: .* float32",
    ),
    "input gradient too small": (
        {"phases": STEP | _core.FETCH_GRADIENTS, "input_gradients": [float32(3, 3)]},
        "input_gradients: array 0 has 9 numbers, expected 12",
    ),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_bad_arrays_are_refused(what):
    changes, message = BAD_ARRAYS[what]
    with pytest.raises((TypeError, ValueError, IndexError, RuntimeError), match=message):
        run(**changes)
    run()


#: Changes of a description, and what the exception says.
BAD_DESCRIPTIONS = {
    "parameter slab of a wrong dtype": ({"parameter_slab": aligned(32, "float64")}, TypeError, "parameter slab"),
    "parameter slab too small": ({"parameter_slab": aligned(16, "float32")}, ValueError, "16 elements, expected 18"),
    "parameter slab not aligned": ({"parameter_slab": aligned(48, "float32")[1:]}, ValueError, "aligned"),
    "parameter slab missing": ({"parameter_slab": None}, ValueError, "needs a parameter slab"),
    "parameter slab read-only": ({"parameter_slab": read_only(aligned(32, "float32"))}, TypeError, "writeable"),
    "gradient slab missing": ({"gradient_slab": None}, ValueError, "needs a gradient slab"),
    "gradient slab of two axes": ({"gradient_slab": aligned(32, "float32").reshape(2, 16)}, TypeError, "one-dim"),
    "slots missing": ({"optimizer": "adam"}, ValueError, "adam keeps 2 slots, got 0"),
    "slots too many": ({"slots": [aligned(32, "float32")]}, ValueError, "sgd keeps 0 slots, got 1"),
    "slot too small": ({"optimizer": "adam", "slots": [aligned(16, "float32")] * 2}, ValueError, "has 16 elements"),
    "slot that is None": ({"optimizer": "adam", "slots": [None] * 2}, TypeError, "adam: a slot is None"),
    "scaling of a wrong length": ({"inputs": [((3,), np.ones(2), None)]}, ValueError, "2 numbers, expected 3"),
    "attribute unknown": ({"nodes": [("dense", "first", [0], [0, 1], {"unit": 2})]}, ValueError, "no attribute 'unit'"),
    "inputs too many": ({"inputs": [((3,), None, None)] * 17}, ValueError, "at most 16 inputs, got 17"),
}


@pytest.mark.parametrize("what", BAD_DESCRIPTIONS)
def test_bad_descriptions_are_refused(what):
    changes, exception, message = BAD_DESCRIPTIONS[what]
    with pytest.raises(exception, match=message):
        make_plan(**changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("_core.first_not_finite(np.array(1.0))", "at least one axis"),
        ("_core.first_bad_label(np.array(1.0), 3)", "at least one axis"),
        ("test_status.run(hyper=np.array(1.0))", "hyper must be"),
    ],
)
def test_numbers_in_place_of_arrays_are_refused(call, message):
    """In a process of their own: what has no axes has no length to be checked, and must not be read all the same."""
    script = f"import numpy as np, test_status; from fastnet import _core; {call}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr.splitlines()[-1]


def test_a_plan_that_failed_cannot_run():
    plan = _core.Plan.__new__(_core.Plan)
    with pytest.raises(RuntimeError, match="not initialised"):
        plan.run(_core.FORWARD, n_rows=1, batch_size=1)
    plan = make_plan()
    with pytest.raises(RuntimeError, match="twice"):
        plan.__init__(dtype="float32", max_rows=1, training=False, inputs=[], nodes=[], parameters=[], outputs=[])


# ---- divergence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("bad_batch", [0, 3, 6])
def test_divergence_leaves_the_weights_from_before(bad, bad_batch, isa, dtype):
    """The error says at which step; weights, slots, losses and metrics are those of the steps before; the plan goes on
    from there as if nothing had happened."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 5)).astype(dtype), random.normal(size=(50, 2)).astype(dtype)
    spoilt = x.copy()
    spoilt[8 * bad_batch + 1, 3] = bad
    graph = Graph()
    h = graph.dense(graph.input((5,)), 17, "gelu")
    graph.output(graph.dense(h, 2, seed=1), "mean_squared_error")
    graph.metric("mean_absolute_error")
    for n_threads in (0, 1, 2, 3):
        fresh = functools.partial(Model, graph, dtype, max_rows=8, n_threads=n_threads, optimizer="adam")
        expected, sums = fresh(), np.zeros(2)
        losses = np.zeros(2)
        if bad_batch:
            losses = expected.train([x[: 8 * bad_batch]], [y], 8, step=100, metrics=sums)[2]
        model, found_losses, found_sums = fresh(), np.zeros(2), np.zeros(2)
        arguments = {
            "n_rows": 50,
            "batch_size": 8,
            "hyper": model.hyper_row,
            "targets": [y],
            "loss_sum": found_losses,
            "metrics": found_sums,
        }
        model.gradient_slab[:] = 0
        with pytest.raises(FloatingPointError, match=f"at step {100 + bad_batch}; the weights are those from before"):
            model.plan.run(STEP, inputs=[spoilt], step=100, **arguments)
        assert (model.plan.next_row, model.plan.steps_done) == (8 * bad_batch, bad_batch)
        assert model.state() == expected.state()
        assert np.array_equal(found_losses, losses) and np.array_equal(found_sums, sums)

        model.plan.run(STEP, inputs=[x], first_row=8 * bad_batch, step=100 + bad_batch, **arguments)
        whole = fresh()
        assert model.plan.next_row == 50
        assert whole.train([x], [y], 8, step=100, metrics=np.zeros(2))[1] == 7
        assert model.state() == whole.state()


def test_a_loss_that_is_not_finite_is_no_error_without_update():
    losses = np.zeros(2)
    run(phases=_core.FORWARD | _core.LOSS, inputs=[np.full((4, 3), np.nan, "float32")], loss_sum=losses)
    assert np.isnan(losses).all()
