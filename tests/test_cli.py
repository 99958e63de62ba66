"""``python -m fastnet`` as its users run it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet
from fastnet._bench import equations, fastnet_peer, workloads
from fastnet._bench.driver import measure, peer_environment
from fastnet._bench.equations import loss_of
from fastnet._bench.shapes import SHAPES
from fastnet._bench.workloads import WORKLOADS


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fastnet", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, **environment),
    )


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fastnet {fastnet.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["bench", "--help"], ["info", "-h"], ["train", "--help"], ["predict", "-h"]]
)
def test_help(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stdout.startswith("usage: fastnet") and not done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["info", "--nonsense"], "--nonsense"),
        (["demo", "--epochs", "0"], "not a positive integer"),
        (["demo", "--epochs", "many"], "many"),
        (["bench", "--seconds", "-1"], "not a positive number"),
        (["bench", "--seconds", "nan"], "not a positive number"),
        (["bench", "nonsense"], "unknown network 'nonsense'; known: tiny"),
        (["bench", "--peers", "nonsense"], "unknown peer 'nonsense'; known: fastnet"),
    ],
)
def test_wrong_usage(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr and not done.stdout


def test_info_names_what_a_report_needs():
    lowest = fastnet._core.available_isas()[0]
    done = run("info", FASTNET_ISA=lowest)
    assert done.returncode == 0 and not done.stderr
    found = dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())
    assert found["fastnet"] == fastnet.__version__
    assert found["instruction set"] == lowest
    assert int(found["threads"]) >= 1 and found["CPU"] and found["NumPy"] and "FASTNET_ISA" in found["environment"]
    assert {"CPU quota", "OpenMP", "instruction sets available"} <= set(found)


def test_unknown_instruction_set_is_one_line():
    done = run("info", FASTNET_ISA="nonsense")
    assert "nonsense" in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_demo_reaches_its_accuracy_and_agrees_with_numpy():
    done = run("demo")
    assert done.returncode == 0 and not done.stderr, done.stderr
    accuracies = [float(text) for text in re.findall(r"test accuracy ([\d.]+)%", done.stdout)]
    assert len(accuracies) == 2 and min(accuracies) >= 97
    assert float(re.search(r"epochs in ([\d.]+) s", done.stdout)[1]) < 3
    assert re.search(r"fastnet is [\d.]+ times as fast", done.stdout)


def test_bench_prints_a_table_and_writes_it(tmp_path):
    path = tmp_path / "out.json"
    done = run("bench", "tiny", "digits", "--peers", "numpy", "--seconds", "0.01", "--repetitions", "2", "--json", path)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.split()[:1] and line.split()[0] in WORKLOADS]
    assert rows == ["tiny", "digits"]
    written = json.loads(path.read_text())
    assert written["machine"]["fastnet"] == fastnet.__version__
    for found in written["measurements"]:
        assert set(found["seconds"]) == {"fastnet", "numpy"} and not found["failed"]
        assert all(len(times) == 2 and min(times) > 0 for times in found["seconds"].values())
        assert found["losses"]["fastnet"] == pytest.approx(found["losses"]["numpy"], rel=1e-3)


def test_bench_leaves_out_who_has_no_such_layers(tmp_path):
    """NumPy has no convolutions here; the loss that fastnet reaches is that of the plain equations."""
    path = tmp_path / "out.json"
    done = run("bench", "cnn-digits", "--seconds", "0.01", "--repetitions", "1", "--peers", "numpy", "--json", path)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(path.read_text())["measurements"]
    assert set(found["seconds"]) == {"fastnet"} and not found["failed"]
    workload = WORKLOADS["cnn-digits"]
    assert found["losses"]["fastnet"] < loss_of(workload, workload.weights())


@pytest.mark.parametrize(
    "name", [name for name, workload in WORKLOADS.items() if isinstance(workload, workloads.Workload) and not workload.is_dense]
)
def test_networks_begin_alike(name):
    """The plain equations and the engine, from the same weights."""
    workload = WORKLOADS[name]
    x, _ = workload.data()
    model = fastnet_peer.build_model(workload)
    model.set_weights(workload.weights())
    assert [weight.shape for weight in model.weights] == [array.shape for array in workload.weights()]
    ours = model.forward(x[:8], training=True)
    plain = equations.forward(workload, workload.weights(), x[:8])
    np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["dense 64, 8", "convolution 8x8x16, 16 filters, 8", "lstm 32, 10 steps, 8"])
def test_other_shapes_are_measured_too(name):
    """Names that only the sweep over shapes has; the losses of dense layers are NumPy's."""
    peers = ["fastnet", "numpy"] if name.startswith("dense") else ["fastnet"]
    found = measure(SHAPES[name], peers, threads=1, seconds=0.01, repetitions=1)
    assert set(found.seconds) == set(peers) and not found.failed
    assert not set(SHAPES) & set(WORKLOADS)


def test_others_get_no_better_instructions_than_fastnet_is_held_to(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a_flag")
    monkeypatch.delenv("FASTNET_ISA", raising=False)
    assert peer_environment(2)["XLA_FLAGS"] == "--a_flag" and "ATEN_CPU_CAPABILITY" not in peer_environment(2)
    monkeypatch.setenv("FASTNET_ISA", "avx2")
    held = peer_environment(1)
    assert held["XLA_FLAGS"].startswith("--a_flag --xla_cpu_max_isa=AVX2") and held["OMP_NUM_THREADS"] == "1"
    assert [held[name].lower() for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")] == ["avx2", "avx2"]


def test_no_more_turns_after_the_limit():
    found = measure(WORKLOADS["tiny"], ["fastnet"], threads=1, seconds=0.01, repetitions=50, limit=0)
    assert len(found.seconds["fastnet"]) == 1


def test_bench_that_cannot_write_fails_before_the_work(tmp_path):
    done = run("bench", "tiny", "--peers", "numpy", "--json", tmp_path / "missing" / "out.json")
    assert done.returncode == 1
    assert done.stderr.startswith("fastnet: error:") and "Traceback" not in done.stderr and not done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("arguments", [["bench", "tiny", "--seconds", "60"], ["demo", "--epochs", "10000000"]])
def test_interrupt(arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "fastnet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        process.stdout.readline()
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # the peers that it has started, too
        process.communicate()
        raise
    assert process.returncode == 130 and "Traceback" not in errors and "interrupted" in errors, errors


@pytest.mark.skipif(sys.platform == "win32", reason="no shell pipe")
def test_reader_that_leaves_is_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "fastnet", "info"], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
