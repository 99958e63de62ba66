"""Formulas written in fn.ops beside what is built in, beside the bandwidth of memory, and beside PyTorch.

    python -m bench.formulas [--seconds S]

Data are normal random numbers of float32 with a fixed seed. Times are elapsed times of the stages of a plan with one thread, forward
and backward, of one batch, without what copies the batch in and the results out. Formula and built-in layer, or loss of a step that
trains, are run in turns, many times in one run; of the times of each the least counts, which a busy machine disturbs least. What is
compared with memory is NumPy's ``c = a + b``, two arrays read and a third one written, of as many bytes as the formula reads and
writes at least, in the same turns. PyTorch, where it is installed, runs the formula eagerly with one thread, forward and backward,
beside `Model.forward` and `Model.backward`: these two by processor time of whole calls from Python.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

import fastnet as fn
from fastnet import _core, ops

#: Rows and columns of what is normalised, activated and compared.
SHAPES = [(32, 128), (256, 512), (2048, 512)]


class Timed:
    """A model of one layer; how long its stages take.

    Parameters
    ----------
    layer : Layer
    shape : tuple of int
        Of the batch, with its rows.
    n_inputs : int
    """

    def __init__(self, layer: fn.layers.Layer, shape: tuple[int, ...], n_inputs: int = 1) -> None:
        inputs = [fn.Input(shape[1:]) for _ in range(n_inputs)]
        self.model = fn.Model(inputs if n_inputs > 1 else inputs[0], layer(*inputs), seed=0)
        self.model.compile("sgd", "mse", n_threads=1)
        random = np.random.RandomState(0)
        self.x = [random.standard_normal(shape).astype(np.float32) for _ in inputs]
        outputs = self.model.forward(self.x if n_inputs > 1 else self.x[0], training=True)
        self.dy = random.standard_normal(outputs.shape).astype(np.float32)
        self.model.backward(self.dy)
        self.plan, self.rows = self.model._forward
        self.known = self.plan.stages()
        self.fetched, self.gradients = [np.empty_like(outputs)], [np.empty_like(x) for x in self.x]
        self.forward = self.both = np.inf

    def turn(self) -> None:
        """Runs both passes once; the least times are kept."""
        seconds = np.zeros(len(self.known))
        size = {"n_rows": self.rows, "batch_size": self.rows}
        self.plan.run(_core.FORWARD | _core.FETCH, inputs=self.x, outputs=self.fetched, stage_seconds=seconds, **size)
        self.plan.run(
            _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.FETCH_GRADIENTS,
            output_gradients=[self.dy], input_gradients=self.gradients, stage_seconds=seconds, **size,
        )  # fmt: skip
        parts = {
            phase: sum(t for t, s in zip(seconds, self.known) if s["phase"] == phase and s["layer"] != "input")
            for phase in (_core.FORWARD, _core.BACKWARD)
        }
        self.forward = min(self.forward, parts[_core.FORWARD])
        self.both = min(self.both, sum(parts.values()))


def gelu(x: object) -> object:
    """GELU by tanh, of the numbers of its definition."""
    return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def huber(y_true: object, y_pred: object) -> object:
    """Huber loss with delta = 1."""
    error = ops.abs(y_true - y_pred)
    return ops.mean(ops.where(error <= 1, 0.5 * error**2, error - 0.5), axis=-1)


def swish_and_square(x: object) -> object:
    """The formula whose bandwidth is measured."""
    return x * ops.sigmoid(x) + 0.5 * x**2


class LayerNormalization(fn.layers.Layer):
    """Layer normalisation in ops, as one writes it down."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.gamma = self.add_weight(shape=input_shape[-1:], initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="beta")

    def call(self, x: object) -> object:
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        return centered * ops.rsqrt(variance + 1e-3) * self.gamma + self.beta


class TimedLoss:
    """The stages of a loss in a step that trains, value and gradient: of one that is built in, or of a formula.

    Before it is a layer with weights, without which nothing would be differentiated.
    """

    #: What the stages are called.
    LABELS = ("huber", "fused forward", "fused backward", "loss of formula")

    def __init__(self, loss: object, shape: tuple[int, ...]) -> None:
        inputs = fn.Input(shape[1:])
        self.model = fn.Model(inputs, fn.layers.RMSNormalization()(inputs), seed=0)
        self.model.compile("sgd", loss, n_threads=1)
        random = np.random.RandomState(0)
        self.x, self.y = (random.standard_normal(shape).astype(np.float32) for _ in range(2))
        self.both = np.inf

    def turn(self) -> None:
        """Profiles a step."""
        profile = self.model.profile(self.x, self.y, batch_size=len(self.x), repeats=1)
        self.both = min(self.both, sum(s.seconds for s in profile.stages if s.label in self.LABELS))


class Triad:
    """NumPy's ``c = a + b``: two arrays are read, and a third one is written, as formulas do, whose results are no operands."""

    def __init__(self, n_bytes: int) -> None:
        n = n_bytes // 12
        self.a, self.b, self.c = (np.ones(n, np.float32) for _ in range(3))
        self.both = np.inf

    def turn(self) -> None:
        """Adds once."""
        start = time.perf_counter()
        np.add(self.a, self.b, out=self.c)
        self.both = min(self.both, time.perf_counter() - start)


def measure(what: list, seconds: float) -> None:
    """Runs all of them in turns for so long."""
    for one in what:
        one.turn()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for one in what:
            one.turn()


def compare(seconds: float) -> None:
    """Formulas beside layers and losses that are built in."""
    print("written in ops beside built in, us:            forward                 forward and backward")
    for shape in SHAPES:
        for name, ours, theirs in [
            ("gelu_tanh", fn.layers.Lambda(gelu), fn.layers.Activation("gelu_tanh")),
            ("layer normalization", LayerNormalization(), fn.layers.LayerNormalization()),
        ]:
            a, b = Timed(ours, shape), Timed(theirs, shape)
            measure([a, b], seconds)
            print(
                f"{name:22s}{shape!s:14s}{1e6 * a.forward:10.1f}{1e6 * b.forward:10.1f}{a.forward / b.forward:7.2f}"
                f"{1e6 * a.both:12.1f}{1e6 * b.both:10.1f}{a.both / b.both:7.2f}",
                flush=True,
            )
        a, b = TimedLoss(huber, shape), TimedLoss(fn.losses.Huber(), shape)
        measure([a, b], seconds)
        print(f"{'huber':22s}{shape!s:14s}{'':27s}{1e6 * a.both:12.1f}{1e6 * b.both:10.1f}{a.both / b.both:7.2f}", flush=True)


def compare_with_memory(seconds: float) -> None:
    """The bandwidth of a formula over a million elements."""
    for shape in [(1024, 1024), (8192, 1024)]:
        n = math.prod(shape)
        a = Timed(fn.layers.Lambda(swish_and_square), shape)
        triad = Triad(5 * 4 * n)  # x, y; x, dy, dx
        measure([a, triad], seconds)
        print(
            f"x sigmoid(x) + x^2 / 2, {n} elements: {1e6 * a.both:.0f} us, a triad of as many bytes {1e6 * triad.both:.0f} us: "
            f"{100 * triad.both / a.both:.0f}% of its bandwidth", flush=True,
        )  # fmt: skip


def cpu_seconds(run: Callable[[], object], seconds: float) -> float:
    """Of one call, the best of several blocks."""
    best, start = math.inf, time.perf_counter()
    while time.perf_counter() < start + seconds:
        begun = time.process_time()
        for _ in range(100):
            run()
        best = min(best, (time.process_time() - begun) / 100)
    return best


def compare_with_torch(seconds: float) -> None:
    """Small arrays beside PyTorch, eager, with one thread."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed")
        return
    torch.set_num_threads(1)
    shape = (32, 128)
    model = Timed(fn.layers.Lambda(swish_and_square), shape)
    x = torch.tensor(model.x[0], requires_grad=True)
    dy = torch.tensor(model.dy)

    def run_torch() -> None:
        (x * torch.sigmoid(x) + 0.5 * x**2).backward(dy)
        x.grad = None

    def run_ours() -> None:
        model.model.forward(model.x[0], training=True)
        model.model.backward(model.dy)

    times: list[list[float]] = [[], []]
    for _ in range(5):
        for kept, run in zip(times, (run_ours, run_torch)):
            kept.append(cpu_seconds(run, seconds / 5))
    ours, theirs = map(min, times)
    model.turn()
    measure([model], seconds / 5)
    print(
        f"x sigmoid(x) + x^2 / 2, 32 x 128: forward and backward {1e6 * ours:.1f} us (stages {1e6 * model.both:.1f}), PyTorch {torch.__version__} "
        f"{1e6 * theirs:.1f} us: {theirs / ours:.1f} times as fast", flush=True,
    )  # fmt: skip


def main() -> None:
    """Prints all."""
    parser = argparse.ArgumentParser(prog="python -m bench.formulas", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="for each line; default: %(default)s")
    seconds = parser.parse_args().seconds
    print(f"float32, {_core.isa()}, one thread")
    compare(seconds)
    compare_with_memory(seconds)
    compare_with_torch(seconds)


if __name__ == "__main__":
    main()
