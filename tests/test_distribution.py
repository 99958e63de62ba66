"""One model trained by several processes: the same bits for any number of them, and an end for all where one fails.

The processes are real ones, started by the mpiexec of each Python that has mpi4py: that of the tests, and those that FASTNET_MPI_PYTHONS
names, separated by colons. One without fastnet finds it where the tests have it.
"""

import functools
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core
from fastnet.distribution._tree import nodes_within, part, postfix

WORKER = pathlib.Path(__file__).with_name("distribution_worker.py")
#: Of one of the two MPI libraries each, which is not there in all environments; one that does not know them does not look at them.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
}


def mpi_pythons():
    """Pythons that have mpi4py, each beside the mpiexec of its library."""
    found = []
    for python in [sys.executable, *filter(None, os.environ.get("FASTNET_MPI_PYTHONS", "").split(":"))]:
        mpiexec = shutil.which("mpiexec", path=os.path.dirname(python)) or shutil.which("mpiexec")
        if (
            mpiexec
            and subprocess.run(
                [python, "-c", "import mpi4py.MPI"], capture_output=True, env={**os.environ, **ENVIRONMENT}
            ).returncode
            == 0
        ):
            found.append((python, mpiexec))
    return found


PYTHONS = mpi_pythons()
needs_mpi = pytest.mark.skipif(not PYTHONS, reason="needs mpi4py and mpiexec")
LIBRARIES = range(len(PYTHONS) or 1)


def command(library, processes, *arguments):
    python, mpiexec = PYTHONS[library]
    return [mpiexec, "-n", str(processes), python, str(WORKER), *map(str, arguments)]


def environment():
    path = os.path.dirname(os.path.dirname(fn.__file__))
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}


def run(library, processes, *arguments, seconds):
    """The programs, when they have come to their end."""
    return subprocess.run(
        command(library, processes, *arguments), capture_output=True, text=True, timeout=seconds, env=environment(), check=False
    )


def start(library, processes, *arguments, seconds=300):
    """What each process prints, as objects; in no order."""
    done = run(library, processes, *arguments, seconds=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == processes, done.stdout + done.stderr
    return found


@functools.cache
def bits(library, processes):
    return start(library, processes, "bits")


def spelled(terms):
    """A sum in postfix order, as text."""
    stack = []
    for term in terms:
        right = "" if term is not None else stack.pop()
        stack.append(term if term is not None else f"({stack.pop()} {right})")
    return " ".join(stack)


def test_sums_of_pieces_have_one_order():
    names = {(i, i + 1): str(i) for i in range(7)}
    expected = spelled(postfix((0, 7), names))
    for processes in range(1, 8):
        known = {}
        for i in range(processes):
            for node in nodes_within((0, 7), *part(7, processes, i)):
                known[node] = spelled(postfix(node, names))
        assert spelled(postfix((0, 7), known)) == expected, processes
    assert expected == "(((0 1) (2 3)) ((4 5) 6))"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 511, 1025])
def test_arrays_are_added_up_in_the_order_given(n, dtype):
    random = np.random.default_rng(n)
    a, b, c, d = [random.normal(size=n).astype(dtype) for _ in range(4)]
    factor = np.array(0.3, dtype)
    out = np.full(n, np.nan, dtype)
    for terms, expected in (
        ([a, b, None, c, None, d, None], ((a + b) + c) + d),
        ([a, b, c, d, None, None, None], a + (b + (c + d))),
        ([a], a),
    ):
        assert _core.sum_arrays(out, terms, 0.3)
        np.testing.assert_array_equal(out, expected * factor)
    expected = a + b
    assert _core.sum_arrays(b, [a, b, None])
    np.testing.assert_array_equal(b, expected)
    for wrong in (np.nan, np.inf):
        d[n // 2] = wrong
        assert not _core.sum_arrays(out, [c, d, None])
    for terms in ([], [a, b], [a, None], [None], [a, b, None, None]):
        with pytest.raises(RuntimeError, match="two operands"):
            _core.sum_arrays(out, terms)
    with pytest.raises(RuntimeError, match="20 operands"):
        _core.sum_arrays(out, [a] * 20 + [None] * 19)
    with pytest.raises(ValueError, match="a term of"):
        _core.sum_arrays(out, [np.zeros(n + 1, dtype)])
    for term in (a.astype("float16"), np.zeros(4 * n, dtype)[::4] if n > 1 else a.astype(">f8")):
        with pytest.raises(TypeError, match="contiguous"):
            _core.sum_arrays(out, [term])


@pytest.mark.parametrize(("n", "parts"), [(0, 3), (2, 4), (7, 3), (100, 7)])
def test_parts_are_adjacent_and_as_equal_as_can_be(n, parts):
    bounds = [part(n, parts, i) for i in range(parts)]
    assert bounds[0][0] == 0 and bounds[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))
    sizes = [end - first for first, end in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_only_distributions_are_set():
    for wrong in ("mpi", 4, fn):
        with pytest.raises(TypeError, match="DataParallel"):
            fn.distribution.set_distribution(wrong)
    assert fn.distribution.distribution() is None
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)])
    with pytest.raises(TypeError, match="DataParallel"):
        model.compile("sgd", "mse", distribution="mpi")


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_same_bits_for_any_number_of_processes(processes):
    expected = bits(0, 1)[0]
    assert len(expected) > 30
    for found in bits(0, processes):
        for name in expected:
            assert found[name] == expected[name], name


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_the_same_bits_for_any_library(library):
    for found in bits(library, 3):
        assert found == bits(0, 1)[0]


#: Networks of which each process updates a part, or that are too large for all to be sent all.
WIDE = ["wide", "wide average", "wide states", "wide clipped", "wide Lamb"]


@needs_mpi
@pytest.mark.parametrize("processes", [2, 3])
def test_the_same_bits_where_no_memory_is_shared(processes):
    """As between machines: gradients are sent, and not read where they are."""
    names = [*WIDE, "Adam", "around"]
    for found in start(0, processes, "apart", "bits", *names):
        for name in names:
            assert found[name] == bits(0, 1)[0][name], name


@needs_mpi
@pytest.mark.parametrize("kind", ["plain", "apart plain"])
def test_sums_of_large_gradients_by_the_library_are_as_good(kind):
    a, b = start(0, 2, *kind.split(), "bits", *WIDE)
    assert a == b
    for name in WIDE:
        if name != "wide states":  # statistics of batch normalization are those of a piece
            np.testing.assert_allclose(a[name]["loss"], bits(0, 1)[0][name]["loss"], rtol=2e-5, err_msg=name)


@needs_mpi
def test_all_have_all_of_the_optimizer_after_each_step():
    """Of which each has updated its part."""
    (expected,) = start(0, 1, "slots")
    assert len(expected["slots"]) == 9 and len(set(expected["slots"])) == 9
    for kind, processes in (("", 2), ("", 3), ("apart", 2)):
        assert start(0, processes, *kind.split(), "slots") == [expected] * processes


@needs_mpi
@pytest.mark.parametrize(("by", "gathered"), [("nobody", 2), ("batches", 8), ("checkpoints", 8)])
def test_all_is_gathered_where_somebody_looks(by, gathered):
    """Be it in one process: at the end of an epoch, not after each slice of it, but where a callback may look then."""
    (alone,) = start(0, 1, "looked_at", by)
    assert len(set(alone["shown"])) == (0 if by == "nobody" else 8)
    found = sorted(start(0, 2, "looked_at", by), key=lambda one: one["rank"])
    assert found[0]["shown"] == alone["shown"] and not found[1]["shown"]
    assert [one["gathered"] for one in found] == [gathered] * 2 and {one["weights"] for one in found} == {alone["weights"]}


@needs_mpi
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_gradient_that_is_not_finite_changes_nothing(processes):
    for found in start(0, processes, "failing", "overflow"):
        assert found["error"] == "FloatingPointError" and "gradient became infinite" in found["message"]
        assert found["weights"] == found["before"] and found["slots"] == found["slots before"]


@needs_mpi
def test_weights_that_are_not_finite_are_seen_by_all():
    (expected,) = start(0, 1, "failing", "lost")
    assert "weights became infinite or nan at step 0" in expected["message"]
    assert start(0, 2, "failing", "lost") == [expected] * 2


@needs_mpi
def test_training_is_that_of_one_process():
    """In float64: sums in another order, and nothing else."""
    names = [
        "double",
        "around",
        "lazy",
        "outputs",
        "Adam",
        "stream",
        "wide",
        "wide average",
        "wide clipped",
        "wide Lamb",
        "loss of arrays",
    ]
    (expected,) = start(0, 1, "alone", "bits", *names)
    for name in names:
        found, alone = bits(0, 2)[0][name], expected[name]
        assert found.keys() == alone.keys()
        for curve in alone.keys() - {"weights"}:
            np.testing.assert_allclose(
                found[curve], alone[curve], rtol=1e-9 if name == "double" else 2e-5, err_msg=f"{name}: {curve}"
            )


@needs_mpi
def test_sums_by_the_library_are_as_good():
    (exact,), found = bits(0, 1), start(0, 2, "plain", "bits", "double", "Adam")
    assert found[0] == found[1]
    np.testing.assert_allclose(found[0]["double"]["loss"], exact["double"]["loss"], rtol=1e-9)
    np.testing.assert_allclose(found[0]["Adam"]["loss"], exact["Adam"]["loss"], rtol=2e-5)


@needs_mpi
def test_single_steps_are_made_together():
    (alone,) = start(0, 1, "steps")
    assert start(0, 2, "steps") == [alone, alone] == start(0, 2, "steps")
    (expected,) = start(0, 1, "alone", "steps")
    np.testing.assert_allclose(alone["losses"], expected["losses"], rtol=1e-5)


@needs_mpi
def test_moving_statistics_are_means_of_those_of_pieces():
    x = np.random.default_rng(7).normal(size=(34, 6)).astype("float32").astype("float64")
    mean, variance = np.zeros(6), np.ones(6)
    for batch in (x[:16], x[16:32], x[32:]):
        pieces = [batch[slice(*part(len(batch), 4, i))] for i in range(4)]
        shares = [len(piece) / len(batch) for piece in pieces]
        mean = 0.7 * mean + 0.3 * sum(share * piece.mean(0) for share, piece in zip(shares, pieces) if share)
        variance = 0.7 * variance + 0.3 * sum(share * piece.var(0) for share, piece in zip(shares, pieces) if share)
    for found in start(0, 1, "moving") + start(0, 3, "moving"):
        for way in ("fit", "train_on_batch"):
            np.testing.assert_allclose(found[way], [mean, variance], rtol=2e-5)


@needs_mpi
@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("optimizer", "ValueError", "process 1 has optimizer='Adam', process 0 has 'SGD'"),
        ("option", "ValueError", "process 1 has optimizer=momentum=0.9, process 0 has momentum=0.0"),
        ("loss", "ValueError", "process 1 has loss="),
        ("metrics", "ValueError", "process 1 has metrics="),
        ("layer", "ValueError", "process 1 has layers=activation="),
        ("refused", None, "LBFGS"),
        ("rate", "RuntimeError", "at the end of the epoch"),
        ("weights", "RuntimeError", "at the end of the epoch"),
        ("rows", "RuntimeError", "their batches have 49 and 50 rows"),
        ("batches", "RuntimeError", "do not make the same calls"),
    ],
)
def test_models_and_calls_that_differ_are_refused(what, error, words):
    """In all processes, which can go on with what is the same."""
    a, b = sorted(start(0, 2, "differing", what), key=lambda one: one["rank"])
    assert a["error"] == (error or "RuntimeError") and b["error"] == (error or "ValueError")
    assert words in a["message"] and words in b["message"]
    assert a["again"] == b["again"]


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("what", ["fit", "train_on_batch", "evaluate", "predict", "scatter"])
def test_a_call_that_one_process_makes_ends(library, what):
    """Where the others have come to their ends: it was waited for them for ever."""
    a, *others = sorted(start(library, 3, "lonely", what, "end"), key=lambda one: one["rank"])
    assert others == [{"rank": 1}, {"rank": 2}] and len(a["messages"]) == 2
    name = what if what in ("fit", "train_on_batch") else f"DataParallel.{what}"
    assert all(f"process 0 at {name}, processes 1 and 2 at the end of the program" in message for message in a["messages"])


@needs_mpi
@pytest.mark.parametrize(
    ("first", "second"), [("fit", "evaluate"), ("fit", "train_on_batch"), ("train_on_batch", "scatter"), ("predict", "evaluate")]
)
def test_other_calls_of_other_processes_are_refused(first, second):
    """In all of them, which can go on then."""
    a, b = sorted(start(0, 2, "lonely", first, second), key=lambda one: one["rank"])
    assert a["loss"] == b["loss"] and a["messages"] == b["messages"] and len(a["messages"]) == 1
    words = a["messages"][0]
    assert "process 0 at " in words and "process 1 at " in words and first in words and second in words


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_that_was_forgotten_ends_the_program(library):
    done = run(library, 2, "forgotten", seconds=60)
    assert done.returncode != 0 and "process 0 at fit, process 1 at the end of the program" in done.stdout + done.stderr


@needs_mpi
def test_models_are_trained_in_turns():
    """What one process still reads of the step of a model, another does not write over with that of the next."""
    (expected,) = start(0, 1, "in_turns")
    assert start(0, 2, "in_turns") == [expected] * 2


@needs_mpi
def test_one_thread_trains_with_a_distribution():
    a, b = start(0, 2, "many_fits")
    assert a == b and "fit_many" in a["many"] and "another thread" in a["thread"]


@needs_mpi
def test_what_cannot_be_trained_in_pieces_is_refused():
    for found in start(0, 2, "refused"):
        assert sorted(found) == ["function", "lbfgs", "stateful", "together"]
        assert all("cannot be trained with DataParallel" in message for message in found.values())
        assert "gradients of several updates before it makes the first" in found["together"]
        assert "LBFGS" in found["lbfgs"] and "synchronized layer with a loss that is a function" in found["function"]


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_failure_of_one_process_ends_all(library):
    a, b = sorted(start(library, 2, "failing", "callback"), key=lambda one: one["error"])
    assert (a["error"], b["error"]) == ("RuntimeError", "ZeroDivisionError")
    assert a["message"] == "process 1 has failed: ZeroDivisionError: in a callback of process 1"
    assert a["weights"] == b["weights"]


@needs_mpi
def test_training_goes_on_after_a_failure():
    """A process that has failed between two steps finds the others in the next one."""
    (alone,) = start(0, 1, "failing", "once")
    a, b = start(0, 2, "failing", "once")
    assert sorted([a["error"], b["error"]]) == ["RuntimeError", "ZeroDivisionError"]
    assert a["again"] == b["again"] == alone["again"]


@needs_mpi
@pytest.mark.parametrize("what", ["metric", "loss"])
def test_a_function_that_fails_in_one_process_ends_all(what):
    a, b = sorted(start(0, 2, "failing", what), key=lambda one: one["error"])
    assert (a["error"], b["error"]) == ("ArithmeticError", "RuntimeError")
    assert b["message"] == f"process 1 has failed: ArithmeticError: in a {what} of process 1"
    assert a["weights"] == b["weights"]


@needs_mpi
def test_metrics_that_are_functions_of_arrays_see_whole_batches():
    (alone,) = start(0, 1, "alone", "by_arrays")
    (found,) = start(0, 1, "by_arrays")
    assert start(0, 3, "by_arrays") == [found] * 3
    assert found.keys() == alone.keys() and {"spread", "val_largest"} < alone.keys()
    for name in alone.keys() - {"weights"}:
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-12, err_msg=name)


@needs_mpi
def test_labels_out_of_range_end_all():
    a, b = start(0, 2, "failing", "labels")
    assert {a["error"], b["error"]} <= {"ValueError", "RuntimeError"} and "ValueError" in (a["error"], b["error"])
    assert all("label 5" in one["message"] or "5" in one["message"] for one in (a, b))
    assert a["weights"] == b["weights"]


@needs_mpi
def test_divergence_is_seen_by_all():
    a, b = start(0, 2, "failing", "divergence")
    assert a["error"] == b["error"] == "FloatingPointError" and a == b


@needs_mpi
def test_calls_that_differ_are_refused():
    for found in start(0, 2, "failing", "rows"):
        assert found["error"] == "ValueError" and "process 1 has n_rows=49, process 0 has 50" in found["message"]


@needs_mpi
def test_the_first_process_decides_when_to_stop():
    found = start(0, 3, "failing", "stop")
    assert all(one["epochs"] == 2 and one["weights"] == found[0]["weights"] for one in found)


@needs_mpi
def test_training_goes_on_with_another_number_of_processes(tmp_path):
    (expected,) = start(0, 1, "resumed", tmp_path / "whole", "whole")
    for processes, later in ((2, 3), (3, 1)):
        path = tmp_path / f"{processes}.safetensors"
        assert start(0, processes, "resumed", path, "stop") == [{"batches": 6}] * processes
        assert start(0, later, "resumed", path, "go on") == [expected] * later


@needs_mpi
def test_an_array_is_scattered():
    for found in start(0, 3, "scattered"):
        assert found == {"sum": 276.0, "shape": [4, 6], "writeable": False, "message": found["message"]}
        assert "numbers" in found["message"]


@needs_mpi
def test_the_first_process_writes_files(tmp_path):
    start(0, 2, "files", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["0-log.csv", "0-model.safetensors", "0-training.safetensors"]


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("by", "kind"), [(signal.SIGTERM, "model"), (signal.SIGINT, "model"), (signal.SIGINT, "single")])
def test_signals_end_all(library, by, kind):
    """SIGTERM to one process, and Ctrl-C to mpiexec, in `fit` or between and within single steps."""
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen(command(library, 2, "endless", kind), env=environment(), **arguments) as process:
        try:
            told = [json.loads(next(line for line in process.stdout if line.startswith("{"))) for _ in range(2)]
            if by == signal.SIGTERM:
                os.kill(told[0]["process"], by)
            else:
                os.killpg(process.pid, by)
            output, _ = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if by == signal.SIGTERM:
        assert process.returncode != 0
    interrupted = [json.loads(line) for line in output.splitlines() if line.startswith('{"interrupted')]
    assert len({(one["batches"], one["weights"]) for one in interrupted}) <= 1  # all after the same step


@pytest.fixture
def two_hosts(tmp_path):
    """Two network namespaces that a cable joins: how to start programs in both, and how many bytes have come through."""
    names, addresses = [f"fastnet{os.getpid()}{end}" for end in "ab"], ["10.77.0.1", "10.77.0.2"]
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("needs ip and root")

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "va", "netns", names[0], "type", "veth", "peer", "name", "vb", "netns", names[1])
        for name, address, end in zip(names, addresses, "ab"):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"v{end}")
            ip("-n", name, "link", "set", f"v{end}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        end = time.monotonic() + 10
        for name in names:  # before it is, libraries do not see it
            while '"operstate":"UP"' not in ip("-n", name, "-j", "link", "show", "type", "veth") and time.monotonic() < end:
                time.sleep(0.05)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not permitted here: {error.stderr}")
    else:
        remote = tmp_path / "remote.sh"  # in place of ssh
        remote.write_text(
            f'#!/bin/sh\nif [ "$1" = {addresses[0]} ]; then name={names[0]}; else name={names[1]}; fi\n'
            'shift\nexec ip netns exec $name sh -c "$*"\n'
        )
        remote.chmod(0o755)
        launch = ["-launcher", "rsh", "-launcher-exec", str(remote), "-localhost", addresses[0], "-hosts", ",".join(addresses)]
        yield (
            ["ip", "netns", "exec", names[0]],
            launch,
            lambda: json.loads(ip("-n", names[0], "-s", "-j", "link", "show", "va"))[0]["stats64"]["tx"]["bytes"],
        )
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@needs_mpi
@pytest.mark.parametrize("kind", [(), ("buckets",)])
def test_two_hosts_over_tcp(two_hosts, kind):
    within, launch, sent = two_hosts
    mpiexec, *rest = command(0, 2, *kind, "bits", "wide", "Adam")
    done = subprocess.run(
        [*within, mpiexec, *launch, *rest],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment(), "UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "va,vb", "FI_PROVIDER": "tcp", "MPIR_CVAR_NOLOCAL": "1"},
        check=False,
    )
    if done.returncode and "unrecognized argument" in done.stderr:
        pytest.skip("this mpiexec is not that of MPICH")
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (expected,) = start(0, 1, *kind, "bits", "wide", "Adam")
    assert found == [expected] * 2, done.stdout + done.stderr
    assert sent() > 8 * 30_000 * 4 / 2  # in each of 8 steps half of the gradient
