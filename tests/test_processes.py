"""fastnet as a guest of a process: forks, affinity, rounding modes and limits that the host has set. Bits never depend on them."""

import ctypes
import ctypes.util
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from plans import Graph, Model

import fastnet as fn
from fastnet import _core

# What the scripts below share: a plan of two threads, whatever the machine, trained; the digest of what came out, and how many
# threads the process has gained by it.
COMMON = """
import hashlib, os, sys, threading
import numpy as np
sys.path.insert(0, {tests!r})

def n_threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

def make():
    from plans import Graph, Model
    graph = Graph()
    h = graph.dense(graph.input((32,)), 257, "relu", seed=1)
    graph.output(graph.dense(h, 3, seed=2), "mean_squared_error")
    return Model(graph, "float32", max_rows=16, n_threads=2, optimizer="adam")

def train(model=None):
    random = np.random.default_rng(0)
    model = model or make()
    model.train([random.normal(size=(101, 32)).astype("f")], [random.normal(size=(101, 3)).astype("f")], 16)
    return hashlib.md5(model.state()).hexdigest()
"""


def run_script(text, **environment):
    """What a script prints, in words. One that hangs is ended."""
    text = COMMON.format(tests=os.path.dirname(__file__)) + text
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.fixture(scope="module")
def digest():
    """What training gives where nothing is out of the ordinary."""
    return run_script("print(train())")[0]


@pytest.fixture(scope="module")
def openmp_user(tmp_path_factory):
    """A library that has a team of OpenMP at work, as PyTorch and LightGBM have; skips where none can be built."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    folder = tmp_path_factory.mktemp("openmp")
    source, library = folder / "user.c", folder / "user.so"
    source.write_text(
        "int work(int n)\n{\n    int sum = 0;\n#pragma omp parallel num_threads(n) reduction(+:sum)\n"
        "    sum += 1;\n    return sum;\n}\n"
    )
    if (
        not compiler
        or subprocess.run([compiler, "-fopenmp", "-shared", "-fPIC", "-o", library, source], capture_output=True).returncode
    ):
        pytest.skip("no compiler with OpenMP")
    return str(library)


# ---- forks ---------------------------------------------------------------------------------------------------

FORKS = """
def fork(work):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(work()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return answer

def in_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(train()))
    thread.start()
    thread.join()
    return answers[0]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("before", ["train()", "openmp.work(2)", "import fastnet; openmp.work(2)", "openmp.work(2); train()"])
def test_forked_children_train(before, openmp_user, digest):
    """Whoever had threads in the parent, and whether fastnet was imported there or not: children train, in a thread of their own
    too, and so do theirs, with two threads and the same bits."""
    answers = run_script(
        FORKS
        + f"""
import ctypes
openmp = ctypes.CDLL({openmp_user!r})
{before}
print(*[fork(work) for work in (train, in_thread, train, lambda: fork(train))], fork(lambda: train() and n_threads()), train())
"""
    )
    assert answers.pop(4) == ("2" if os.path.isdir("/proc/self/task") else "0")
    assert answers == [digest] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_while_a_thread_trains(digest):
    """Children made in the midst of a run of another thread, whose team they have not."""
    answers = run_script(
        FORKS
        + """
stop = threading.Event()
started = threading.Event()
def keep_training():
    model = make()
    while not stop.is_set():
        train(model)
        started.set()
thread = threading.Thread(target=keep_training, daemon=True)
thread.start()
started.wait()
print(*[fork(train) for _ in range(20)])
stop.set()
thread.join()
print(train())
"""
    )
    assert answers == [digest] * 21


# ---- processors ----------------------------------------------------------------------------------------------

BINDINGS = [
    {"OMP_PROC_BIND": "true"},
    {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"},
    {"OMP_PROC_BIND": "false"},
    {"GOMP_CPU_AFFINITY": f"0-{os.cpu_count() - 1}"},
]


@pytest.mark.parametrize("host", ["", "loaded", "used"])
@pytest.mark.parametrize("environment", BINDINGS, ids=lambda environment: "-".join(environment.values()))
def test_processors_where_openmp_binds_threads(environment, host, openmp_user, digest):
    """An OpenMP runtime binds the thread that loads it to one processor; fastnet counts those of the process, and its threads
    use them."""
    load = f"import ctypes; openmp = ctypes.CDLL({openmp_user!r})"
    before = {"": "", "loaded": load, "used": f"{load}; openmp.work({_core.cpu_count()})"}[host]
    answers = run_script(
        f"""
{before}
from fastnet import _core
print(_core.cpu_count(), train())
others = set(os.listdir("/proc/self/task")) - {{str(os.getpid())}} if os.path.isdir("/proc/self/task") else ()
print(max([len(os.sched_getaffinity(int(other))) for other in others] or [0]))
""",
        **environment,
    )
    assert int(answers[0]) == _core.cpu_count()
    assert answers[1] == digest
    assert int(answers[2]) in (0, _core.cpu_count())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": " 1,8 "}, 1),
        ({"OMP_THREAD_LIMIT": "1"}, 1),
        ({"OMP_NUM_THREADS": "1000000"}, None),
        ({"OMP_NUM_THREADS": "-1", "OMP_THREAD_LIMIT": "none"}, None),
    ],
)
def test_default_threads(environment, expected):
    """OpenMP's variables limit the threads; see tests/c/test_quota.c for how they are read."""
    none = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"), "")
    found = run_script("from fastnet import _core; print(_core.default_threads())", **none | environment)
    assert int(found[0]) == (expected or int(run_script("from fastnet import _core; print(_core.default_threads())", **none)[0]))


def test_more_threads_than_processors_count_as_these():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    model.compile("sgd", "mse", n_threads=1000)
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    assert model._latest_plan().info()["n_threads"] == _core.cpu_count()


# ---- limits --------------------------------------------------------------------------------------------------

LIMITS = {
    "processes": "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\nif os.getuid() == 0: os.setuid(65534)",
    "address space": """
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 19), resource.getrlimit(resource.RLIMIT_AS)[1]))""",
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("limit", LIMITS)
def test_threads_that_cannot_be_had(limit, digest):
    """A plan of two threads runs with one where the system gives no more, and gives the same bits."""
    found = run_script(f"""
import resource
model, before = make(), n_threads()
{LIMITS[limit]}
print(train(model), n_threads() - before)
""")
    assert found == [digest, "0"]


# ---- the mode of arithmetic ----------------------------------------------------------------------------------

# FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO of <fenv.h>.
ROUNDING = {"x86_64": (0x400, 0x800, 0xC00), "aarch64": (0x800000, 0x400000, 0xC00000), "s390x": (3, 2, 1)}


def network():
    graph = Graph()
    x = graph.input((23,), scale=np.linspace(0.5, 1.5, 23), shift=None)
    h = graph.dense(x, 64, "gelu", seed=1)
    graph.output(graph.dense(h, 10, seed=3), "sparse_categorical_crossentropy", from_logits=1)
    graph.metric("sparse_categorical_accuracy")
    return graph


@pytest.fixture
def set_rounding():
    """Sets the rounding mode of this thread, and asks for it; puts back what it was."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    if platform.machine() not in ROUNDING:
        pytest.skip("the numbers of the modes are not known here")
    yield library.fesetround, library.fegetround
    library.fesetround(0)


@pytest.mark.parametrize("mode", range(3))
def test_rounding_mode_of_the_host(mode, set_rounding, isa, dtype):
    """Whatever the mode, with any number of threads: the bits are those of rounding to nearest, and the mode is left as it was."""
    set_mode, get_mode = set_rounding
    number = ROUNDING[platform.machine()][mode]
    random = np.random.default_rng(0)
    inputs, targets = [random.normal(size=(101, 23)).astype(dtype)], [random.integers(0, 10, 101).astype(np.int32)]

    def train(n_threads, mode):
        model = Model(network(), dtype, max_rows=16, n_threads=n_threads, optimizer="adam")
        losses, metrics = np.zeros(2), np.zeros(model.plan.metric_size)
        hyper = model.hyper_row
        set_mode(mode)
        try:
            model.plan.run(
                _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE,
                n_rows=101,
                batch_size=16,
                inputs=inputs,
                targets=targets,
                hyper=hyper,
                loss_sum=losses,
                metrics=metrics,
            )
            after = get_mode()
        finally:
            set_mode(0)
        assert after == mode
        return model.state(), losses.tobytes(), metrics.tobytes()

    expected = train(1, 0)
    for n_threads in (1, 2, 3):
        assert train(n_threads, number) == expected


@pytest.mark.parametrize("mode", range(3))
def test_rounding_mode_where_losses_are_computed_alone(mode, set_rounding):
    """Of a loss outside of plans, the gradient: what NumPy makes of it is in the mode of the host."""
    set_mode, get_mode = set_rounding
    number = ROUNDING[platform.machine()][mode]
    random = np.random.default_rng(0)
    y, predicted = random.normal(size=(2, 64, 7)).astype(np.float32)  # a power of two, by which dividing is exact
    _, expected = _core.evaluate_loss("log_cosh", {}, y, predicted)
    set_mode(number)
    try:
        (_, found), after = _core.evaluate_loss("log_cosh", {}, y, predicted), get_mode()
    finally:
        set_mode(0)
    assert np.array_equal(found, expected) and after == number
