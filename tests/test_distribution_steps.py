"""Steps of several updates that several processes make together: of a `TrainStep`, and of a `train_step`."""

import functools
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from distribution_steps import CASES, NOISE
from test_distribution import LIBRARIES, command, environment, needs_mpi, start

import fastnet as fn
from fastnet.distribution._tree import part


@functools.cache
def sequences(library, processes):
    return start(library, processes, "sequences")


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_same_bits_for_any_number_of_processes(processes):
    (expected,) = sequences(0, 1)
    assert expected.keys() == CASES.keys()
    for found in sequences(0, processes):
        for name in expected:
            assert found[name] == expected[name], name


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_the_same_bits_for_any_library(library):
    assert sequences(library, 3) == sequences(0, 1) * 3


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3])
def test_the_same_bits_where_no_memory_is_shared(processes):
    names = ["gan", "wide gan", "frozen gan", "pair together"]
    for found in start(0, processes, "apart", "sequences", *names):
        for name in names:
            assert found[name] == sequences(0, 1)[0][name], name


def compare(found, expected, rtol):
    """Everything but the bits of the weights."""
    assert found.keys() == expected.keys()
    for name in expected.keys() - {"weights", "single"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=1e-13, err_msg=name)
    for one, other in zip(found["single"], expected["single"]):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=rtol)


@needs_mpi
def test_training_is_that_of_one_process():
    """In float64: sums in another order, and nothing else, where no operation draws numbers or looks at the whole batch."""
    names = [name for name, (_, same) in CASES.items() if same]
    (expected,) = start(0, 1, "alone", "sequences", *names)
    for name in names:
        compare(sequences(0, 2)[0][name], expected[name], 1e-9)


@needs_mpi
def test_sums_by_the_library_are_as_good():
    names = ["gan", "rare gan", "frozen gan", "pair", "sum", "added sums"]
    a, b = start(0, 2, "plain", "sequences", *names)
    assert a == b
    for name in names:
        compare(a[name], sequences(0, 1)[0][name], 1e-9)


@needs_mpi
def test_rows_held_out_are_divided():
    """Losses are those that each process finds alone, and of the same bits for any number of processes."""
    (expected,) = start(0, 1, "held_out_of_step")
    for processes in (2, 3):
        every = start(0, processes, "held_out_of_step")
        assert sum(one["batches"] for one in every) == expected["batches"] == 5
        assert all(one["found"] == expected["found"] for one in every)
    for divided, alone in expected["found"]:
        assert divided.keys() == alone.keys() == {"critic", "generator"}
        np.testing.assert_allclose(list(divided.values()), list(alone.values()), rtol=1e-12)


@needs_mpi
def test_statistics_are_moved_by_each_update():
    """As by one process, but that those of a batch are means of those of its pieces."""
    mean, variance = np.zeros(3), np.ones(3)
    for batch in (NOISE[:16], NOISE[16:19]):
        pieces = [batch[slice(*part(len(batch), 4, i))] for i in range(4)]
        shares = [len(piece) / len(batch) for piece in pieces]
        for _ in range(2):
            mean = 0.7 * mean + 0.3 * sum(share * piece.mean(0) for share, piece in zip(shares, pieces) if share)
            variance = 0.7 * variance + 0.3 * sum(share * piece.var(0) for share, piece in zip(shares, pieces) if share)
    for found in start(0, 1, "moved_by_two") + start(0, 3, "moved_by_two"):
        np.testing.assert_allclose(found["found"], [mean, variance], rtol=1e-12)


@needs_mpi
@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_update_that_fails(what, processes):
    """Those before it have been made, and it changes nothing; training goes on then, as that of one process."""
    (alone,) = start(0, 1, "alone", "failing_steps", what)
    for found in start(0, processes, "failing_steps", what):
        assert found["error"] == "FloatingPointError" and "update 'second': the " + what in found["message"]
        assert found["batches"] == alone["batches"] == [3, 2]
        assert found["after"][0] != found["before"][0] and (what == "loss" or found["after"][1] != found["before"][1])
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)


@needs_mpi
@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("train_step", "ValueError", "process 1 has layers="),
        ("optimizer", "ValueError", "process 1 has update 'critic'="),
        ("every", "ValueError", "process 1 has update 'generator'=3, process 0 has 2"),
        ("rows", "RuntimeError", "their batches have 49 and 50 rows"),
        ("rate", "RuntimeError", "at the end of the epoch"),
    ],
)
def test_steps_that_differ_are_refused(what, error, words):
    for found in start(0, 2, "differing_steps", what):
        assert found["error"] == error and words in found["message"], found


@needs_mpi
@pytest.mark.parametrize(
    ("what", "error"),
    [("metric", "ArithmeticError: in a metric of process 1"), ("callback", "ZeroDivisionError: in a callback of process 1")],
)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_failure_of_one_process_ends_all(what, error, library):
    a, b = sorted(start(library, 2, "differing_steps", what), key=lambda one: one["rank"])
    assert (a["error"], a["message"]) == ("RuntimeError", f"process 1 has failed: {error}")
    assert f"{b['error']}: {b['message']}" == error


@needs_mpi
def test_training_goes_on_with_another_number_of_processes(tmp_path):
    (expected,) = start(0, 1, "resumed_step", tmp_path / "whole", "whole")
    for processes, later in ((2, 3), (3, 1)):
        path = tmp_path / f"{processes}.safetensors"
        assert start(0, processes, "resumed_step", path, "stop") == [{"batches": 6}] * processes
        assert start(0, later, "resumed_step", path, "go on") == [expected] * later


@needs_mpi
def test_an_interrupt_ends_all_after_the_same_step():
    """With all of its updates, and not between two of them."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen(command(0, 2, "endless", "step"), env=environment(), **options) as process:
        try:
            for _ in range(2):
                json.loads(next(line for line in process.stdout if line.startswith("{")))
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    interrupted = [json.loads(line) for line in output.splitlines() if line.startswith('{"interrupted')]
    assert all(one["same"] for one in interrupted)
    assert len({(one["batches"], one["weights"]) for one in interrupted}) <= 1


def test_only_distributions_are_taken():
    inner = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)])
    step = fn.TrainStep(lambda x: {"a": (fn.ops.square(inner(x)), inner)}, [(1,)])
    with pytest.raises(TypeError, match="DataParallel"):
        step.compile("sgd", distribution="mpi")
