"""The engine: plans, registries, statuses. Types of _core.pyx, where the parameters are explained."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = Sequence[int]
Attributes = Mapping[str, float]
Scaling = npt.ArrayLike | None
Input = tuple[Shape, Scaling, Scaling]
Node = tuple[str, str, Sequence[int], Sequence[int], Attributes]
Parameter = tuple[Shape, int, bool] | tuple[Shape, int, bool, bool, float, float, float]
Output = tuple[int, str | None, Attributes | None, float, str]
Metric = tuple[str, Attributes | None, int]
Arrays = Sequence[np.ndarray | None]

FORWARD: int
LOSS: int
BACKWARD: int
UPDATE: int
FETCH: int
OUTPUT_GRADIENT: int
FETCH_GRADIENTS: int
FLUSH: int
STATES: int
ALIGNMENT: int
MAX_RANK: int
MAX_THREADS: int
MAX_OUTPUTS: int

def statuses() -> list[tuple[str, type[Exception] | None, str]]:
    """The statuses of the engine: a list of (name, exception class or None, meaning)."""

def isa() -> str:
    """Name of the instruction set in use."""

def available_isas() -> list[str]:
    """Names of the instruction sets that are compiled in and that this machine has."""

def select_isa(name: str | None = None) -> None:
    """Chooses the kernels for the plans made from now on; None: the best. ValueError if there is none such."""

def cpu_count() -> int:
    """Logical CPUs this process may run on."""

def cpu_quota() -> float:
    """CPU quota of the container in CPUs; 0: none."""

def default_threads() -> int:
    """Most threads a plan uses unless told otherwise."""

def allocation_count() -> int:
    """Allocations made by the engine since the process started."""

def fail_allocation(number: int) -> None:
    """For tests: of the engine's allocations from now on that of this number, from 1, fails as where there is no memory; 0: none."""

def measure_flops(dtype: str = "float32") -> float:
    """Floating-point operations a second that one thread makes at best, in fused multiply-adds of a dtype."""

def measure_bandwidth() -> float:
    """Bytes a second between one thread and memory, in a sum of two large arrays."""

def note_change() -> None:
    """Says that something has changed that plans are made of: an attribute of a layer, the slab of a weight."""

def version() -> int:
    """A number that is another one after each `note_change`."""

def penalizes(op: str) -> bool:
    """Whether an operation adds to the loss."""

def registry(kind: str) -> dict[str, dict[str, float]]:
    """All entries of "ops", "losses", "metrics", "optimizers", "activations", "functions" or "updates"."""

def attribute_ranges(kind: str) -> dict[str, dict[str, tuple[float, float, bool, bool]]]:
    """What the attributes of all entries of a kind, as of `registry`, may be: (lowest, highest, whole, varies)."""

def attribute_choices(op: str, name: str) -> tuple[str, ...]:
    """What the numbers 0, 1, ... of an attribute of an operation stand for."""

def activation_index(name: str) -> int:
    """Number of an activation: the value of the `activation` attribute of operations."""

def infer(
    op: str, layer: str, shapes: Sequence[Shape], attributes: Attributes | None
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Shapes of the outputs and parameters of an operation: (outputs, parameters), lists of tuples."""

def own_inputs(read: Sequence[int], used: Sequence[int]) -> Sequence[int]:
    """Of what a node reads, the inputs of its operation, without what stands for parameters."""

def keeps_numbers(op: str, shapes: Sequence[Shape], attributes: Attributes | None) -> bool:
    """Whether each number that an operation makes is one that its inputs hold, or 0."""

def infer_target(loss: str, attributes: Attributes | None, shape: Shape) -> tuple[int, ...]:
    """Shape of the target that a loss wants for predictions of this shape (of one sample)."""

def optimizer_slots(optimizer: str, hyper: Attributes | None) -> list[tuple[str, float]]:
    """Slots an update keeps with these hyper-parameters: a list of (name, start); NaN: starts as the parameters."""

def hyper_parameters(optimizer: str, values: Attributes | None) -> np.ndarray:
    """Hyper-parameters of an optimizer and its update as the row of numbers that Plan.run takes."""

def hyper_names(optimizer: str) -> list[str]:
    """Names of the numbers in that row."""

def metric_size(metric: str, attributes: Attributes | None, shape: Shape) -> int:
    """Number of accumulators of a metric for predictions of this shape (of one sample)."""

def evaluate_loss(
    loss: str,
    attributes: Attributes | None,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
) -> tuple[float, np.ndarray]:
    """Value of a loss and its gradient with respect to y_pred."""

def update_metric(
    metric: str,
    attributes: Attributes | None,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    accumulators: np.ndarray,
) -> None:
    """Adds arrays to the accumulators of a metric, which are changed in place."""

class Gate:
    """Who reads the weights of a slab while they do not change, and who changes them."""

    @property
    def steps(self) -> int: ...
    @property
    def busy(self) -> bool:
        """Whether another thread writes."""

    def reading(self, between: bool = False) -> AbstractContextManager[bool]:
        """A manager: True within it where the weights may be read, as nobody is to change them; else False."""

    def writing(self, wait: bool = False) -> AbstractContextManager[bool]:
        """A manager: within it this thread alone may read and change the weights."""

    def session(self) -> AbstractContextManager[None]:
        """A manager: within it this thread alone may write; RuntimeError where another one does."""

    def ask(self, function: Callable[[], Any]) -> bool:
        """Has a function called when the thread that writes leaves; False: there is none."""

    def awaits(self, function: Callable[[], Any]) -> bool:
        """Whether a function is still to be called that this was asked for, or is being called."""

class ThreadGroup:
    """Threads that call the same function, until it is over in all of them."""

    @property
    def cancelled(self) -> bool:
        """The function is to end."""

    def cancel(self) -> None:
        """Says that the function is to end."""

    def run(self, function: Callable[[], Any], n_threads: int) -> None:
        """Calls a function in so many threads."""

def append_row(lists: list[list[Any]], values: list[Any]) -> None:
    """Appends to each of some lists one of as many values: to all of them or, where there is no memory, to none."""

class Counter:
    """Batches that an optimizer has seen."""

    @property
    def batches(self) -> int: ...
    @batches.setter
    def batches(self, value: int) -> None: ...
    @property
    def turns(self) -> tuple[int, int]:
        """From these on predictions are made with other weights."""

    @turns.setter
    def turns(self, value: tuple[int, int]) -> None: ...
    def count(self, batches: int, position: Position | None = None, row: int = 0, squared_norm: float = 0) -> None:
        """Counts batches of which Python has made the steps, and how far an epoch has come by them."""

class Position:
    """How far an epoch has come."""

    @property
    def row(self) -> int: ...
    @row.setter
    def row(self, value: int) -> None: ...
    @property
    def epochs(self) -> int: ...
    @epochs.setter
    def epochs(self, value: int) -> None: ...
    @property
    def squared_norm(self) -> float: ...
    @squared_norm.setter
    def squared_norm(self, value: float) -> None: ...
    @property
    def totals(self) -> np.ndarray: ...
    @totals.setter
    def totals(self, value: np.ndarray) -> None: ...
    @property
    def sums(self) -> np.ndarray: ...
    @sums.setter
    def sums(self, value: np.ndarray) -> None: ...

def run_sequence(
    plans: list[Plan],
    phases: int,
    *,
    inputs: list[list[np.ndarray]],
    hyper: list[np.ndarray],
    counters: list[Counter],
    names: list[str],
    n_rows: int,
    batch_size: int,
    first_row: int = 0,
    order: np.ndarray | None = None,
    seconds: float = 0,
    losses: np.ndarray,
    squares: np.ndarray,
    rows_done: np.ndarray | None = None,
    outputs: list[list[Any]] | None = None,
    position: Position | None = None,
    batches: Counter | None = None,
    every: list[int] | None = None,
    groups: list[int] | None = None,
) -> tuple[int, int]:
    """Runs several plans for each batch, one after another, without the GIL; see fn_plans_run."""

class PlanPool:
    """Plans that are all alike, each used by one thread at a time; as many are made as are used at the same time."""

    def __init__(self, make: Callable[[], Plan], kept: int, more: int = 0) -> None: ...
    def take(self) -> AbstractContextManager[Plan]:
        """A manager: within it a plan is this thread's."""

    @property
    def memory(self) -> int:
        """Bytes that its plans hold."""

    def was_used(self) -> bool:
        """Whether a plan of it was used without the pool being asked, by `Predictor`, since this was asked last."""

class Predictor:
    """The short way from an array to what a model of one input and one output makes of it."""

    def keep(
        self,
        plan: Plan,
        input_shape: Shape,
        output_shape: Shape,
        keys: list[tuple[Callable[[], Any], Any]],
        gate: Gate,
        alone: bool,
        watched: list[tuple[Any, np.ndarray, np.ndarray]],
    ) -> None:
        """Takes a plan for batches of `plan.max_rows`, a power of two, of the present version."""

    def drop(self, rows: int) -> None:
        """Forgets the plans for batches of so many rows, a power of two."""

    def predict(self, x: Any) -> np.ndarray | None:
        """The prediction for x, or None where that takes the long way."""

def is_readable(array: Any) -> bool:
    """Whether it is an array that the engine reads as it is: of a type it knows, C-ordered, aligned, not of a subclass."""

def same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two C-contiguous arrays hold the same bits; ValueError where one is not contiguous."""

def shuffle(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order in which an epoch visits n rows: a permutation, a function of (seed, epoch, n)."""

def sum_arrays(out: np.ndarray, terms: Sequence[np.ndarray | None], factor: float = 1) -> bool:
    """out = factor * the sum of arrays as long, in postfix order: None stands for the sum of the two operands before it."""

def first_not_finite(array: np.ndarray) -> int:
    """Number of the first row that holds a NaN or an infinity, or -1."""

def first_bad_label(array: np.ndarray, n_classes: int) -> tuple[int, float] | None:
    """(row, label) of the first label that is not a whole number in [0, n_classes), or None."""

def check_labels(array: np.ndarray, n_classes: int, name: str = "y") -> None:
    """Raises ValueError for the first label that is not a whole number in [0, n_classes)."""

class Plan:
    """A compiled model: what fn_plan_create makes of a description."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def max_rows(self) -> int: ...
    @property
    def memory(self) -> int:
        """Bytes of the arena and of the scratch of all threads."""

    @property
    def input_widths(self) -> list[int]: ...
    @property
    def output_widths(self) -> list[int]: ...
    @property
    def target_widths(self) -> list[int | None]: ...
    @property
    def metric_size(self) -> int: ...
    @property
    def exchanges(self) -> list[int]:
        """How many numbers each replica says in those of a step."""
    @property
    def cuts(self) -> list[int]:
        """The part of a step after which the gradients from each cut on are complete."""

    @property
    def has_loss(self) -> bool: ...
    @property
    def n_hyper(self) -> int: ...
    @property
    def pieces(self) -> int: ...
    @property
    def epochs_done(self) -> int: ...
    @property
    def next_row(self) -> int: ...
    @property
    def steps_done(self) -> int: ...
    @property
    def gradient_squares(self) -> float: ...
    def __init__(
        self,
        *,
        dtype: str,
        max_rows: int,
        training: bool,
        inputs: Sequence[Input],
        nodes: Sequence[Node],
        parameters: Sequence[Parameter],
        outputs: Sequence[Output],
        metrics: Sequence[Metric] = (),
        optimizer: str | None = None,
        hyper: Attributes | None = None,
        scheduled: Sequence[tuple[int, str]] = (),
        assignments: Sequence[tuple[int, int]] = (),
        parameter_slab: np.ndarray | None = None,
        gradient_slab: np.ndarray | None = None,
        slots: Sequence[np.ndarray] = (),
        seed: int = 0,
        n_threads: int = 0,
        input_gradients: bool = False,
        separate_stages: bool = False,
        pieces: int = 1,
        replicas: int = 0,
        cuts: Sequence[int] = (),
    ) -> None: ...
    def bind(self, values: np.ndarray, number: int) -> None:
        """Copies numbers into its slab, which nobody else has, unless those of this number are there."""

    def info(self) -> dict[str, Any]:
        """Facts: isa, n_threads (0: undecided), stages, barriers, arena_bytes, thread_bytes, live_bytes, peers (1: none),
        peer_steps (in all calls), pieces."""

    def stages(self) -> list[dict[str, Any]]:
        """What is known of each stage: label, layer, part, flops_per_row, flops_fixed, bytes_per_row, bytes_fixed."""

    def stage_labels(self) -> list[str]:
        """Labels of the stages, in order."""

    def run(
        self,
        phases: int,
        *,
        n_rows: int,
        batch_size: int,
        first_row: int = 0,
        inputs: Sequence[np.ndarray] | None = None,
        targets: Arrays | None = None,
        weights: Arrays | None = None,
        order: np.ndarray | None = None,
        epochs: int = 1,
        shuffle: tuple[int, int] | None = None,
        step: int = 0,
        hyper: np.ndarray | None = None,
        outputs: Arrays | None = None,
        output_gradients: Arrays | None = None,
        input_gradients: Arrays | None = None,
        seconds: float = 0,
        mixup: float = 0,
        cutmix: float = 0,
        loss_sum: np.ndarray | None = None,
        metrics: np.ndarray | None = None,
        gradient_squares: float = 0,
        epoch_results: np.ndarray | None = None,
        stage_seconds: np.ndarray | None = None,
        counter: Counter | None = None,
        counts: int = 1,
        position: Position | None = None,
        staged: tuple[int, np.ndarray, np.ndarray] | None = None,
        mean_rows: int = 0,
        results: np.ndarray | None = None,
        checked: bool = False,
        part: int = 0,
        replica: int = 0,
        exchange: np.ndarray | None = None,
    ) -> tuple[int, int]:
        """Runs batch after batch, without the GIL; see fn_plan_run."""
