"""Models that are compiled and cannot learn what they are meant to: told by a warning, and by `diagnose`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .activations import name_of

if TYPE_CHECKING:
    from ._graph import SymbolicTensor

__all__ = ["Fault", "faults_of_outputs", "faults_of_targets", "warn_of"]

#: Of which the results are from 0 to 1.
_PROBABILITIES = ("sigmoid", "hard_sigmoid", "softmax")

#: Losses that compare numbers of any size.
_OF_NUMBERS = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")

#: Operations whose results are of the size of their inputs, while the weights are new.
_WEIGHTED = ("dense", "convolution")

#: Targets of this size are far from what new weights give, so far that steps of the usual size do not come to them.
_LARGE = 300.0

#: Of so many targets the size is taken.
_ROWS = 4096


class Fault(NamedTuple):
    """One of them, see `fastnet.diagnosis.Finding`."""

    kind: str
    seen: str
    advice: str


def _last_function(tensor: SymbolicTensor) -> tuple[Any, str | None]:
    """The operation whose numbers these are, and the activation that they come from; None: unknown."""
    operation = tensor.operation
    while operation is not None and operation.keeps_numbers and operation.inputs:
        operation = operation.inputs[0].operation
    if operation is None or operation.op in ("softmax", "log_softmax"):
        return operation, operation and operation.op
    number = operation.attributes.get("activation")
    return operation, None if number is None else name_of(number)


def faults_of_outputs(outputs: Sequence[SymbolicTensor], names: Sequence[str], losses: Sequence[Any]) -> Iterator[Fault]:
    """What is wrong whatever the data are."""
    for tensor, name, loss in zip(outputs, names, losses):
        operation, function = _last_function(tensor)
        if loss is None or function is None:
            continue
        if function in ("softmax", "log_softmax"):
            units = operation.outputs[0].sample_shape[-1]
            if units == 1:
                yield Fault(
                    "output that is always the same",
                    f"output {name!r} is a {function} over one unit, which is {'1' if function == 'softmax' else '0'} whatever the weights",
                    "activation='sigmoid' with binary_crossentropy for two classes, or one unit for each class",
                )
                continue
        takes_logits = getattr(loss, "from_logits", False if getattr(loss, "kernel", None) == "kl_divergence" else None)
        if takes_logits is None:
            continue
        loss_name = getattr(loss, "name", None) or type(loss).__name__
        if takes_logits and function in _PROBABILITIES:
            yield Fault(
                "loss that does not fit the output",
                f"loss {loss_name!r} with from_logits=True applies a {'softmax' if function == 'softmax' else 'sigmoid or softmax'}, and "
                f"output {name!r} has been through {function!r} already",
                "from_logits=False, or a last layer without activation",
            )
        elif not takes_logits and function not in _PROBABILITIES:
            yield Fault(
                "loss that does not fit the output",
                f"loss {loss_name!r} expects probabilities, and output {name!r} is no probability: its activation is {function!r}",
                "activation='sigmoid' or 'softmax' in the last layer"
                + ", or from_logits=True and no activation" * hasattr(loss, "from_logits"),
            )


def faults_of_targets(
    outputs: Sequence[SymbolicTensor], names: Sequence[str], losses: Sequence[Any], targets: Sequence[Any]
) -> Iterator[Fault]:
    """What is wrong with these targets for weights that have not been trained."""
    for tensor, name, loss, target in zip(outputs, names, losses, targets):
        if target is None or getattr(loss, "kernel", None) not in _OF_NUMBERS or tensor.mask is not None:
            continue  # or what does not count, as it is masked, may be anything
        operation, function = _last_function(tensor)
        if operation is None or operation.op not in _WEIGHTED or function is None:
            continue
        rows = np.asarray(target[:: max(1, len(target) // _ROWS)], np.float64)
        size = float(np.sqrt(np.mean(rows * rows))) if rows.size else 0.0
        biases = [abs(weight.array).max(initial=0.0) for weight in operation.weights if weight.name == "bias"]
        if not np.isfinite(size) or size < _LARGE or max(biases, default=0.0) > 0.1 * size:
            continue
        yield Fault(
            "targets too large",
            f"the targets of output {name!r} are about {size:.3g} in size, and a new network gives numbers about 1",
            "targets scaled to mean 0 and variance 1, or fn.layers.TargetScaling as the last layer, after adapt(y)",
        )


def warn_of(faults: Sequence[Fault]) -> None:
    """Warns where the user's code called the package; not of a model that is loaded or copied, of which it has been told."""
    if not faults:
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and (module := str(frame.f_globals.get("__name__"))).partition(".")[0] == __package__:
        if module.startswith(f"{__package__}.saving"):
            return
        level, frame = level + 1, frame.f_back
    for fault in faults:
        warnings.warn(f"{fault.kind}: {fault.seen}. Try: {fault.advice}.", UserWarning, stacklevel=level)
