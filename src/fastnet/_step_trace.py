"""What a `train_step` or `test_step` of the user's does, found by calling it once with symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._derived import derive
from ._graph import FUNCTIONS, Operation, SymbolicTensor, outside_calls
from ._row_stacks import RowStack
from ._row_sums import Total
from ._step_context import MOMENTS, STEP
from ._weights import Weight
from .layers._modes import MODE

if TYPE_CHECKING:
    from .metrics import Metric
    from .optimizers import Optimizer

__all__ = ["Applied", "Gradient", "Penalties", "Result", "StepTrace", "Used", "ancestors", "as_total"]


class Penalties:
    """In the place of a tensor in a `Total`: what the weights and the layers of a model add to its loss."""

    sample_shape = ()

    def __init__(self, model: Any) -> None:
        self.model = model


class Gradient:
    """The derivative of a loss by a weight, which is known to the engine alone.

    Attributes
    ----------
    losses : tuple of Total
        Whose sum the loss is.
    span : (int, int or None)
        The moments within which the tape has seen what was computed.
    """

    def __init__(self, losses: tuple[Total, ...], weight: Weight, span: tuple[int, int | None], moment: int) -> None:
        self.losses, self.weight, self.span, self.moment = losses, weight, span, moment

    __array_ufunc__ = None

    def clone(self) -> Gradient:
        """Itself: nothing changes it."""
        return self

    detach = clone

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _no_numbers(f"asked for {name!r}")

    def __repr__(self) -> str:
        return f"<gradient by {self.weight.path!r}, for an optimizer's apply or apply_gradients>"


def _no_numbers(what: str) -> TypeError:
    return TypeError(
        f"a gradient in train_step is {what}: it is computed within the update of the engine, and is for optimizer.apply(gradients, weights) or "
        "optimizer.apply_gradients(zip(gradients, weights)). Clipping is the optimizer's: clipnorm, clipvalue, global_clipnorm; accumulation "
        "is gradient_accumulation_steps"
    )


def _refused(what: str) -> Any:
    def refuse(self: Any, *other: Any) -> Any:
        raise _no_numbers(what)

    return refuse


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "neg", "abs", "matmul"):
    setattr(Gradient, f"__{_name}__", _refused("computed with"))
for _name in ("float", "bool", "array", "getitem", "lt", "gt"):
    setattr(Gradient, f"__{_name}__", _refused("taken for numbers"))


class _Value:
    """The value of a weight in train_step, as PyTorch's scripts ask for it: with a gradient."""

    def __init__(self, trace: StepTrace, weight: Weight) -> None:
        self._trace, self._weight = trace, weight

    @property
    def grad(self) -> Gradient | None:
        """The derivative of the losses whose `backward` has been called."""
        return self._trace.gradient_by(self._weight)

    def __getattr__(self, name: str) -> Any:
        raise TypeError(
            f"weight.value.{name} in train_step: numbers of weights are not known while it is traced; ask for weight.value.grad"
        )


class Applied(NamedTuple):
    """An update: what an optimizer was told."""

    optimizer: Optimizer
    losses: tuple[Total, ...]
    weights: list[Weight]
    span: tuple[int, int | None]
    differentiated: int
    moment: int


class Used(NamedTuple):
    """A call of `update_state`."""

    metric: Metric
    args: tuple[Any, ...]
    options: Mapping[str, Any]


class Result(NamedTuple):
    """The result of a metric, at the end of the step."""

    metric: Metric


class StepTrace:
    """What a step does.

    Parameters
    ----------
    model : Model
    method : callable
        `train_step` or `test_step`, given the data.
    data
        Symbolic tensors, in tuples, lists and dictionaries.
    tensors : list of SymbolicTensor
        All of them.
    training : bool

    Attributes
    ----------
    updates : list of Applied
    used : list of Used
    logs : dict of str to Result, Total or number
        What it returns.

    Raises
    ------
    TypeError, ValueError
        Where it does something that is not known before the numbers are.
    """

    def __init__(
        self, model: Any, method: Callable[..., Any], data: Any, tensors: Sequence[SymbolicTensor], training: bool
    ) -> None:
        self.model, self.training = model, training
        self.updates: list[Applied] = []
        self.used: list[Used] = []
        self._backward: list[Total] = []
        self._zeroed: dict[Weight, int] = {}  # how many of these were there when its gradient was set to zero
        self._name = f"{type(model).__name__}.{'train_step' if training else 'test_step'}"
        with outside_calls(rows=tensors[0]):  # which ends the trace, too
            STEP.set(self)
            token = MODE.set(training)
            try:
                found = method(data)
            finally:
                MODE.reset(token)
        self.logs = self._checked_logs(found)
        if training and not self.updates:
            raise ValueError(f"{self._name} updates nothing: it ends without optimizer.apply(gradients, weights)")

    def _checked_logs(self, found: Any) -> dict[str, Any]:
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise TypeError(f"{self._name} must return a dictionary by name of what is to be logged, got {found!r}")
        logs: dict[str, Any] = {}
        for name, value in found.items():
            if isinstance(value, (Result, Total, int, float, np.number)):
                logs[name] = value
            elif isinstance(value, (SymbolicTensor, RowStack)):
                raise TypeError(f"{self._name} returns {name!r} with a number for each row: take its fn.ops.mean")
            else:
                raise TypeError(
                    f"{self._name} returns {name!r}: {value!r}, expected the result of a metric, or a mean or sum of tensors"
                )
        return logs

    # ---- what is told by whom -------------------------------------------------------------------------------

    def use_metric(self, metric: Metric, method: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Of a metric's method."""
        if method == "result":
            return Result(metric)
        if method == "reset_state":
            raise TypeError(f"{self._name}: metric {metric.name!r} is reset at the begin of an epoch, and not within it")
        self.used.append(Used(metric, args, options))
        return None

    def losses_of(self, model: Any) -> list[Total]:
        """What `model.losses` is."""
        has_penalties = model._graph.penalized or any(weight.penalized for weight in model.trainable_weights)
        return [Total([(Penalties(model), 1.0, True)])] if has_penalties else []  # type: ignore[list-item]

    def differentiate(self, target: Any, sources: Any, output_gradients: Any, span: tuple[int, int | None]) -> Any:
        """Of `GradientTape.gradient`."""
        if span[1] is None:
            span = span[0], next(MOMENTS)
        given = list(sources) if isinstance(sources, (list, tuple)) else [sources]
        if given and all(isinstance(one, SymbolicTensor) for one in given):
            found: list[Any] = derive(_rows_of(target, self._name), given, output_gradients)
        elif all(isinstance(one, Weight) for one in given):
            if output_gradients is not None:
                raise TypeError(f"{self._name}: output_gradients go with derivatives by tensors")
            targets = tuple(as_total(one, self._name) for one in (target if isinstance(target, (list, tuple)) else [target]))
            moment = next(MOMENTS)
            found = [Gradient(targets, weight, span, moment) for weight in given]
        else:
            raise TypeError(f"{self._name}: GradientTape.gradient takes weights, or tensors, got {sources!r}")
        return found if isinstance(sources, (list, tuple)) else found[0]

    def backward(self, loss: Total) -> None:
        """Of ``loss.backward()``."""
        self._backward.append(loss)

    def zero_gradients(self, weights: Iterable[Weight]) -> None:
        """Of ``model.zero_grad()``."""
        self._zeroed.update((weight, len(self._backward)) for weight in weights)

    def value_of(self, weight: Weight) -> _Value:
        """Of ``weight.value``."""
        return _Value(self, weight)

    def gradient_by(self, weight: Weight) -> Gradient | None:
        """Of ``weight.value.grad``."""
        losses = tuple(self._backward[self._zeroed.get(weight, 0) :])
        return Gradient(losses, weight, (-1, next(MOMENTS)), next(MOMENTS)) if losses else None

    def apply(self, optimizer: Optimizer, gradients: Iterable[Any], weights: Iterable[Any] | None) -> None:
        """Of ``optimizer.apply(gradients, weights)``."""
        found = list(gradients)
        expected = [getattr(one, "weight", None) for one in found] if weights is None else list(weights)
        if not found or len(found) != len(expected):
            raise ValueError(f"{self._name}: optimizer.apply got {len(found)} gradients for {len(expected)} weights")
        for gradient, weight in zip(found, expected):
            if gradient is not None and not isinstance(gradient, Gradient):
                raise TypeError(
                    f"{self._name}: optimizer.apply takes what GradientTape.gradient, or weight.value.grad, gave, got {gradient!r}"
                )
            if gradient is not None and gradient.weight is not weight:
                raise ValueError(f"{self._name}: optimizer.apply got {gradient!r} for weight {getattr(weight, 'path', weight)!r}")
        known = [one for one in found if one is not None]
        if len({tuple(map(id, one.losses)) for one in known}) != 1:
            raise ValueError(
                f"{self._name}: optimizer.apply got gradients of different losses: an update is made by those of one loss"
            )
        first, of_graph = known[0], set()
        for loss in first.losses:
            of_graph |= {weight for operation in ancestors(_tensors(loss)) for weight in operation.weights}
        trained = [one.weight for one in known if one.weight in of_graph]
        if not trained:
            raise ValueError(f"{self._name}: the loss that optimizer.apply got gradients of depends on none of the weights")
        self.updates.append(Applied(optimizer, first.losses, trained, first.span, first.moment, next(MOMENTS)))


def as_total(loss: Any, what: str) -> Total:
    """A loss: of a tensor with rows the sum of all numbers, as TensorFlow has it."""
    if isinstance(loss, (SymbolicTensor, RowStack)):
        loss = FUNCTIONS["sum"](loss)
    if not isinstance(loss, Total):
        raise TypeError(f"{what}: a loss must be a tensor or a mean or sum of tensors, got {loss!r}")
    return loss


def _tensors(total: Total) -> list[SymbolicTensor]:
    return [tensor for tensor, _, _ in total.terms if isinstance(tensor, SymbolicTensor)]


def _rows_of(target: Any, what: str) -> list[SymbolicTensor]:
    """What is differentiated by tensors, as tensors whose numbers are added up."""
    found = []
    for one in target if isinstance(target, (list, tuple)) else [target]:
        terms = one.terms if isinstance(one, Total) else [(one, 1.0, False)]
        for tensor, factor, is_mean in terms:
            if is_mean or not isinstance(tensor, SymbolicTensor):
                raise TypeError(f"{what}: a derivative by tensors is one of tensors, or of their sums, got {one!r}")
            found.append(tensor if factor == 1 else tensor * factor)
    return found


def ancestors(tensors: Iterable[SymbolicTensor]) -> list[Operation]:
    """All operations that tensors depend on."""
    found: dict[Operation, None] = {}
    left = list(tensors)
    while left:
        operation = left.pop().operation
        if operation is not None and operation not in found:
            found[operation] = None
            left.extend(operation.inputs)
    return list(found)
