"""Several threads and one model: answers come to all, those beside a training are of the weights after one of its steps, and the
training is what it is alone."""

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core, _steppers
from fastnet._weights import between_steps

L = fn.layers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(480, 6)).astype("f"), RNG.normal(size=(480, 2)).astype("f")
ROWS = X[:300]  # more than a prediction computes at once
OPTIMIZERS = {
    "plain": lambda: fn.optimizers.SGD(0.002, momentum=0.5),
    "ema": lambda: fn.optimizers.SGD(0.002, use_ema=True, ema_momentum=0.9),
    "swa": lambda: fn.optimizers.SGD(0.002, swa_start=5),
    "schedule_free": lambda: fn.optimizers.ScheduleFreeSGD(0.002),
}


@pytest.fixture(autouse=True)
def eager_threads():
    """Python changes threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def network(optimizer=None, width=16, loss="mse"):
    model = fn.Sequential([fn.Input((6,)), L.Dense(width, "tanh"), L.BatchNormalization(), L.Dropout(0.1), L.Dense(2)], seed=0)
    if optimizer is not None:
        model.compile(optimizer, loss, n_threads=1)
    return model


def in_threads(*functions):
    """Runs functions at the same time; raises what the first of them did that failed."""
    errors = []

    def call(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


EPOCHS, BATCH = 6, 32


class Recorder(fn.callbacks.Callback):
    """What can be asked of a model, after each step of a training alone."""

    def __init__(self, expected):
        super().__init__()
        self.seen = {"predict": set(), "row": set(), "evaluate": set(), "get_weights": set(), "save": set()}
        self.expected = expected  # a model without averages

    def note(self, model):
        expected = self.expected
        used = [value.copy() for value in model._evaluation_values().values()]
        expected.set_weights(used)
        self.seen["predict"].add(expected.predict(ROWS).tobytes())
        self.seen["row"].add(expected.predict(ROWS[:1]).tobytes())
        self.seen["evaluate"].add(expected.evaluate(ROWS, Y[:300]))
        self.seen["get_weights"].add(b"".join(w.tobytes() for w in model.get_weights()))
        self.seen["save"].add(b"".join(w.tobytes() for w in used))

    def on_train_begin(self, logs=None):
        self.note(self.model)

    def on_train_batch_end(self, batch, logs=None):
        self.note(self.model)


def ask(model, what, folder):
    if what == "predict":
        return model.predict(ROWS).tobytes()
    if what == "row":
        return model.predict_on_batch(ROWS[:1]).tobytes()
    if what == "evaluate":
        return model.evaluate(ROWS, Y[:300])
    if what == "get_weights":
        return b"".join(w.tobytes() for w in model.get_weights())
    other, path = network(width=model.layers[0].units), os.path.join(folder, f"{threading.get_ident()}.safetensors")
    model.save_weights(path)
    other.load_weights(path)
    return b"".join(w.tobytes() for w in other.get_weights())


@functools.cache
def trained_alone(name, width):
    model = network(OPTIMIZERS[name](), width)
    recorder = Recorder(network(OPTIMIZERS["plain"](), width))
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[recorder])
    return model, recorder.seen


class Pace(fn.callbacks.Callback):
    """Before each epoch waits until some more has been asked."""

    def __init__(self, asked):
        super().__init__()
        self.asked = asked

    def on_epoch_begin(self, epoch, logs=None):
        wanted, end = len(self.asked) + 4, time.monotonic() + 60
        while len(self.asked) < wanted and time.monotonic() < end:
            time.sleep(0.0005)


def fit(model, pace):
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[pace])


def train_on_batches(model, pace):
    """The same steps as those of `fit`, one by one."""
    for epoch in range(EPOCHS):
        pace.on_epoch_begin(epoch)
        order = _core.shuffle(model.seed, epoch, len(X))
        for start in range(0, len(X), BATCH):
            rows = order[start : start + BATCH]
            model.train_on_batch(X[rows], Y[rows])


@pytest.mark.parametrize("train", [fit, train_on_batches])
@pytest.mark.parametrize("width", [16, 200])  # predicted with the GIL kept, and without
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_answers_beside_a_training_are_of_a_step(name, width, train, tmp_path, monkeypatch):
    monkeypatch.setattr(_steppers, "SLICE_SECONDS", 1e-4)
    alone, seen = trained_alone(name, width)
    model, over, wrong, asked = network(OPTIMIZERS[name](), width), threading.Event(), [], []
    kinds = ["predict", "row", "predict", "evaluate", "row", "get_weights", "predict", "save"]

    def keep_asking(what):
        while True:
            last = over.is_set()  # once more, of the trained model
            asked.append(what)
            if ask(model, what, tmp_path) not in seen[what]:
                wrong.append(what)
            if last:
                return

    def work():
        try:
            train(model, Pace(asked))
        finally:
            over.set()

    in_threads(work, *(lambda what=what: keep_asking(what) for what in kinds))
    assert not wrong and len(asked) >= 4 * EPOCHS
    assert all(map(np.array_equal, model.get_weights(), alone.get_weights()))
    assert np.array_equal(model.predict(ROWS), alone.predict(ROWS))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_thread_that_is_told_of_an_epoch_sees_it(name):
    """An answer is not of a step from before the question."""
    model, told, answers, expected = network(OPTIMIZERS[name](), width=200), threading.Semaphore(0), [], []
    lock, answered = threading.Lock(), threading.Event()

    class Tell(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            expected.append(self.model.predict(ROWS))
            told.release()
            answered.wait(30)
            answered.clear()

    def listen():
        for _ in range(5):
            told.acquire()
            with lock:
                answers.append(model.predict(ROWS))
            answered.set()

    in_threads(listen, lambda: model.fit(X, Y, epochs=5, verbose=0, callbacks=[Tell()]))
    assert all(map(np.array_equal, answers, expected)) and len(answers) == 5


@pytest.mark.parametrize("optimizer", ["plain", "ema"])
def test_weights_are_set_as_a_whole(optimizer):
    model, over, wrong = network(OPTIMIZERS[optimizer](), width=200), threading.Event(), []
    model.fit(X, Y, epochs=1, verbose=0)
    sets, seen = [], set()
    for seed in range(2):
        other = fn.Sequential(
            [fn.Input((6,)), L.Dense(200, "tanh"), L.BatchNormalization(), L.Dropout(0.1), L.Dense(2)], seed=seed
        )
        sets.append(other.get_weights())
        seen.add(other.predict(ROWS).tobytes())
    model.set_weights(sets[0])

    def keep_setting():
        for i in range(60):
            model.set_weights(sets[i % 2])
        over.set()

    def keep_asking():
        while not over.is_set():
            if model.predict(ROWS).tobytes() not in seen:
                wrong.append(True)

    in_threads(keep_setting, keep_asking, keep_asking)
    assert not wrong


@pytest.mark.parametrize("width", [8, 600])
@pytest.mark.parametrize("optimizer", ["plain", "ema"])
def test_all_threads_are_answered(optimizer, width):
    model = network(OPTIMIZERS[optimizer](), width=width)
    model.fit(X, Y, epochs=1, verbose=0)
    expected, each = model.predict(ROWS), [model.predict(X[i : i + 1]) for i in range(8)]
    loss, weights, wrong = model.evaluate(X, Y), model.get_weights(), []

    def keep_asking(i):
        for _ in range(15):
            if not np.array_equal(model.predict(X[i : i + 1]), each[i]) or not np.array_equal(model.predict(ROWS), expected):
                wrong.append("predict")
            if model.evaluate(X, Y) != loss:
                wrong.append("evaluate")

    in_threads(*(lambda i=i: keep_asking(i) for i in range(8)))
    assert not wrong and all(map(np.array_equal, model.get_weights(), weights))


def test_a_python_loss_is_evaluated_with_the_weights_of_one_step():
    def squares(y, p):
        return float(np.mean((p - y) ** 2)), 2 * (p - y) / p.size

    model, over, values = network(OPTIMIZERS["ema"](), loss=squares), threading.Event(), []

    class Note(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.add(self.model.evaluate(ROWS, Y[:300]))

    alone = network(OPTIMIZERS["ema"](), loss=squares)
    seen = {alone.evaluate(ROWS, Y[:300])}
    alone.fit(X, Y, epochs=2, verbose=0, callbacks=[Note()])

    def work():
        model.fit(X, Y, epochs=2, verbose=0)
        over.set()

    def keep_asking():
        values.append(model.evaluate(ROWS, Y[:300]))
        while not over.is_set():
            values.append(model.evaluate(ROWS, Y[:300]))

    in_threads(work, keep_asking, keep_asking)
    assert values and set(values) <= seen
    assert all(map(np.array_equal, model.get_weights(), alone.get_weights()))


def test_one_thread_trains():
    """A second one is refused, and so is whoever sets weights; both may do so afterwards."""
    model, begun, go_on = network(OPTIMIZERS["plain"]()), threading.Event(), threading.Event()

    class Wait(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            begun.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=lambda: model.fit(X, Y, epochs=1, verbose=0, callbacks=[Wait()]))
    thread.start()
    assert begun.wait(60)
    weights = model.get_weights()
    try:
        for change in (
            lambda: model.fit(X, Y, verbose=0),
            lambda: model.train_on_batch(X, Y),
            lambda: model.set_weights(weights),
        ):
            with pytest.raises(RuntimeError, match="another thread"):
                change()
        model.predict(ROWS)  # that is no change
    finally:
        go_on.set()
        thread.join()
    model.set_weights(weights)
    model.train_on_batch(X, Y)


def test_states_are_kept_for_one_prediction_after_another():
    """h = h + x, so that after so many predictions of one row of ones each state says how many there were."""
    layer = L.SimpleRNN(3, activation="linear", kernel_initializer="zeros", recurrent_initializer="identity", stateful=True)
    model = fn.Sequential([fn.Input((2, 3), batch_size=1), layer], seed=0)
    layer.weights[0].assign(np.eye(3))
    ones = np.stack([np.ones((1, 3)), np.zeros((1, 3))], axis=1).astype("f")
    in_threads(*[lambda: [model.predict(ones) for _ in range(50)]] * 4)
    assert np.array_equal(model.predict(0 * ones), np.full((1, 3), 200, "f"))


def interrupt_within(seconds, function):
    """A KeyboardInterrupt comes after so many seconds, if the function is not over by then; it is caught."""
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            function()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass


@pytest.fixture
def alarms_interrupt():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


# Python reports an interrupt that comes while something is finalised, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", ["evaluate", "predict", "save"])
def test_interrupts_leave_the_weights(what, tmp_path, alarms_interrupt):
    """200 of each, at any moment; afterwards the model is asked and trained as ever."""
    model = network(OPTIMIZERS["ema"](), width=400)
    model.fit(X, Y, epochs=2, verbose=0)
    weights, expected = model.get_weights(), model.predict(ROWS)
    start = time.perf_counter()
    ask(model, what, tmp_path)
    length = max(time.perf_counter() - start, 1e-4)
    for i in range(200):
        interrupt_within(1e-6 + length * (i % 50) / 40, lambda: ask(model, what, tmp_path))
    assert all(map(np.array_equal, model.get_weights(), weights)) and np.array_equal(model.predict(ROWS), expected)
    twin = network(OPTIMIZERS["ema"](), width=400)
    twin.fit(X, Y, epochs=2, verbose=0)
    in_threads(lambda: model.fit(X, Y, epochs=1, verbose=0))  # in another thread, which nobody may be in the way of
    twin.fit(X, Y, epochs=1, verbose=0)
    assert np.array_equal(model.predict(ROWS), twin.predict(ROWS))


@pytest.mark.parametrize("busy", ["fit", "predict"])
def test_a_forked_child_finds_the_model_free(busy):
    """Whatever threads of its parent were about: it predicts and trains."""
    model, over = network(OPTIMIZERS["ema"](), width=600), threading.Event()
    model.fit(X, Y, epochs=1, verbose=0)
    many = np.tile(X, (40, 1))

    def work():
        while not over.is_set():
            model.fit(X, Y, epochs=1, verbose=0) if busy == "fit" else model.predict(many)

    thread = threading.Thread(target=work)
    thread.start()
    codes = []
    try:
        for _ in range(4):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # ends it, should it hang
                try:
                    model.predict(ROWS)
                    model.evaluate(X, Y)
                    model.train_on_batch(X, Y)
                    model.set_weights(model.get_weights())
                    os._exit(0)
                finally:
                    os._exit(1)
            codes.append(os.waitpid(child, 0)[1])
    finally:
        over.set()
        thread.join()
    assert codes == [0] * 4


class Fork(fn.callbacks.Callback):
    """Makes a child whenever it is called, by os.fork or as multiprocessing does; it uses the model in all ways there are."""

    def __init__(self, folder, start):
        super().__init__()
        self.path, self.start, self.codes = os.path.join(folder, "m.safetensors"), start, []

    def use(self):
        model = self.model
        expected = network(OPTIMIZERS["plain"](), model.layers[0].units)
        expected.set_weights([value.copy() for value in model._evaluation_values().values()])
        assert np.array_equal(model.predict(ROWS), expected.predict(ROWS))
        model.save(self.path)
        other = fn.load_model(self.path)
        model.set_weights(model.get_weights())
        model.train_on_batch(X, Y)
        model.fit(X, Y, epochs=1, verbose=0)
        in_threads(lambda: model.fit(X, Y, epochs=1, verbose=0), lambda: other.predict(ROWS))

    def fork(self):
        if self.start == "fork":
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # ends it, should it hang
                code = 1
                try:
                    self.use()
                    code = 0
                finally:
                    os._exit(code)
            self.codes.append(os.waitpid(child, 0)[1])
        else:
            process = multiprocessing.get_context("fork").Process(target=self.use)
            process.start()
            process.join(60)
            self.codes.append(process.exitcode)

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.fork()

    def on_epoch_end(self, epoch, logs=None):
        self.fork()


@pytest.mark.parametrize("start", ["fork", "multiprocessing"])
@pytest.mark.parametrize("loss", ["mse", "function"])
def test_a_child_that_a_callback_forks_finds_the_model_free(start, loss, tmp_path):
    """Between two batches, after an epoch, and for a loss that is a function within a step; what the parent trains is what it is
    without children."""
    forks = Fork(tmp_path, start)

    def squares(y, p):
        if forks.model is not None and forks.model.optimizer.iterations == 4:
            forks.model.optimizer.iterations += 1  # once in each process
            forks.fork()
            forks.model.optimizer.iterations -= 1
        return float(np.mean((p - y) ** 2)), 2 * (p - y) / p.size

    forks.model = None
    weights = []
    for callbacks in ([forks], [fn.callbacks.Callback()]):
        model = network(OPTIMIZERS["ema"](), loss="mse" if loss == "mse" else squares)
        if callbacks[0] is not forks:
            forks.model = None
        model.fit(X, Y, batch_size=160, epochs=2, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    assert forks.codes == [0] * (4 if loss == "mse" else 5)
    assert all(map(np.array_equal, *weights))


def test_a_pool_has_as_many_plans_as_are_used_at_once():
    made = []

    def make():
        made.append(
            _core.Plan(
                dtype="float32",
                max_rows=1,
                training=False,
                inputs=[((2,), None, None)],
                nodes=[("activation", "a", [0], [], {})],
                parameters=[],
                outputs=[(1, None, None, 1.0, "a")],
            )
        )
        return made[-1]

    pool = _core.PlanPool(make, 2)
    with pool.take() as first, pool.take() as second, pool.take() as third:
        assert len({id(plan) for plan in (first, second, third)}) == 3
    with pool.take() as plan, pool.take() as other:
        assert len(made) == 3 and plan is not other and plan in made and other in made
    with pytest.raises(ZeroDivisionError), pool.take() as plan:
        raise ZeroDivisionError
    with pool.take() as again:
        assert again is plan


def test_a_gate_lets_readers_or_one_writer_in():
    gate, steps = _core.Gate(), []

    def elsewhere(function):
        found = []
        in_threads(lambda: found.append(function()))
        return found[0]

    def may_read(between=False):
        with gate.reading(between) as free:
            return free

    def writes():
        with gate.writing():
            return True

    with gate.reading() as outer, gate.reading() as inner:
        assert outer and inner and elsewhere(may_read)
    assert elsewhere(writes) and gate.steps == 1
    with gate.writing():
        assert may_read() and writes() and not elsewhere(may_read) and not elsewhere(lambda: may_read(True))
        assert elsewhere(lambda: gate.busy) and not gate.busy
        with pytest.raises(RuntimeError, match="another thread"):
            elsewhere(writes)
        assert elsewhere(lambda: gate.ask(lambda: steps.append(gate.steps))) and not gate.ask(steps.clear)
        assert not steps
    assert steps == [2] and gate.steps == 2
    with gate.session():
        assert may_read() and not elsewhere(may_read) and elsewhere(lambda: may_read(True)) and writes()
        with pytest.raises(RuntimeError, match="another thread"):
            elsewhere(writes)
    assert elsewhere(writes) and elsewhere(may_read)


def test_who_asked_does_not_wait_for_what_was_called_in_vain():
    """A writer that writes again and again calls what it was asked for once: a function that fails before it can say so."""
    gate, asked, looks = _core.Gate(), [], []

    class Busy:
        """Of a writer that is at its next step whenever one looks; free at the second attempt."""

        def reading(self, between):
            return gate.reading(between) if asked else contextlib.nullcontext(False)

        def ask(self, function):
            asked.append(function)
            return True

        @property
        def busy(self):
            looks.append(0)
            assert len(looks) < 3
            return True

        def awaits(self, function):
            return False

    assert between_steps(Busy(), lambda: 7) == 7 and len(asked) == 1

    failing, pending = [], []

    def fails():
        pending.append(gate.awaits(fails))
        raise MemoryError

    with gate.writing():
        in_threads(lambda: failing.append(gate.ask(fails)))
        assert failing == [True] and gate.awaits(fails)
    assert pending == [True] and not gate.awaits(fails)


def test_a_writer_waits_for_readers():
    gate, entered, leave, order = _core.Gate(), threading.Event(), threading.Event(), []

    def read():
        with gate.reading():
            entered.set()
            leave.wait(60)
            order.append("read")

    def write():
        entered.wait(60)
        threading.Timer(0.05, leave.set).start()
        with gate.writing():
            order.append("written")

    in_threads(read, write)
    assert order == ["read", "written"]


@pytest.mark.parametrize("what", ["save", "save_weights"])
def test_a_daemon_thread_may_save_while_the_interpreter_ends(what, tmp_path):
    """The process ends as it would otherwise, whichever moment it is."""
    script = (
        "import sys, threading, time, fastnet as fn\n"
        "model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(400), fn.layers.Dense(400)], seed=0)\n"
        "begun = threading.Event()\n"
        "def work():\n"
        "    while True:\n"
        f"        model.{what}(sys.argv[1])\n"
        "        begun.set()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "begun.wait(60)\n"
        "time.sleep(float(sys.argv[2]))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / f"{i}.safetensors"), str(0.0005 * i)],
                                  stderr=subprocess.PIPE, text=True) for i in range(6)]  # fmt: skip
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * len(processes)
