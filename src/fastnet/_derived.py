"""Derivatives of what a model computes, as operations of its graph and as models that share its weights."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import FUNCTIONS, SymbolicTensor, as_tensors, outside_calls

if TYPE_CHECKING:
    from ._network import Network

__all__ = [
    "Tensors",
    "as_list",
    "derive",
    "derived_model",
    "hvp",
    "input_gradient",
    "input_jacobian",
    "jvp",
    "require_one_number",
    "vjp",
]

Tensors = list[SymbolicTensor]
#: Makes more outputs of outputs, inputs and vectors.
Build = Callable[[Tensors, Tensors, Tensors], Tensors]


def as_list(value: Any) -> list[Any]:
    """One or several, which may be the values of a dictionary, as a list."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def derive(ys: Tensors, xs: Tensors, output_gradients: Any = None) -> Tensors:
    """See `fastnet.gradients`."""
    weights = None if output_gradients is None else as_tensors(output_gradients, "output_gradients")
    if weights is not None and [one.sample_shape for one in weights] != [y.sample_shape for y in ys]:
        raise ValueError(
            f"gradients of outputs of shapes {[y.shape for y in ys]} have these shapes, got {[w.shape for w in weights]}"
        )
    return FUNCTIONS["gradients"](ys, xs, weights)


# ---- products ------------------------------------------------------------------------------------------------
# Of the Jacobian J with a row for each number of ys and a column for each of xs.


def vjp(ys: Tensors, xs: Tensors, vs: Tensors) -> Tensors:
    """v^T J"""
    return derive(ys, xs, vs)


def jvp(ys: Tensors, xs: Tensors, vs: Tensors) -> Tensors:
    """J v, as the derivative of v J^T u by u, which is linear in u: any u will do."""
    us = [y * 0.0 for y in ys]
    return derive(derive(ys, xs, us), us, vs)


def hvp(ys: Tensors, xs: Tensors, vs: Tensors) -> Tensors:
    """The Jacobian of the gradient, times v."""
    require_one_number(ys, "hvp")
    return derive(derive(ys, xs), xs, vs)


def require_one_number(ys: Tensors, name: str) -> None:
    """ValueError where there are more for a row."""
    if len(ys) != 1 or math.prod(ys[0].sample_shape) != 1:
        raise ValueError(
            f"fn.{name}: the function must return one number for each row, got shape {' and '.join(str(y.shape) for y in ys)}; "
            "sum over what is more, or use fn.vjp or fn.jacobian"
        )


#: By model: its outputs, and what has been derived of them.
_DERIVED: weakref.WeakKeyDictionary[Network, tuple[list[Any], dict[str, Any]]] = weakref.WeakKeyDictionary()


def derived_model(model: Network, kind: str, build: Build, of_inputs: bool = False) -> Any:
    """The model of the outputs of a model and of what `build` makes of them, which shares its weights."""
    model._require_built()
    known = _DERIVED.get(model)
    if known is None or known[0] is not model.outputs:
        known = _DERIVED[model] = (model.outputs, {})
    if kind not in known[1]:
        with outside_calls():
            vectors = [SymbolicTensor(one.sample_shape, None) for one in (model.inputs if of_inputs else model.outputs)]
            vectors = vectors if kind in ("vjp", "jvp", "hvp") else []
            found = build(model.outputs, model.inputs, vectors)
            known[1][kind] = model._with_outputs([*model.outputs, *found], vectors)
    return known[1][kind]


def input_gradient(model: Network, x: Any, output: int | None = None) -> Any:
    """See `Model.input_gradient`."""
    (y,) = model.outputs if len(model.outputs) == 1 else (None,)
    if y is None:
        raise ValueError(f"model {model.name!r} has {len(model.outputs)} outputs: fn.vjp says which of them count")
    size = math.prod(y.sample_shape)
    if output is None:
        require_one_number([y], "Model.input_gradient")
        output = 0
    if not -size <= output < size:
        raise ValueError(f"model {model.name!r}: output {output} of {size} numbers of shape {y.shape}")
    return _backwards(model, x, output % size)


def input_jacobian(model: Network, x: Any) -> Any:
    """See `Model.input_jacobian`."""
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        raise ValueError(f"model {model.name!r}: input_jacobian is for models of one input and one output; fn.vjp takes any")
    shape = model.outputs[0].sample_shape
    rows = [_backwards(model, x, number) for number in range(math.prod(shape))]
    return np.stack(rows, axis=1).reshape(len(rows[0]), *shape, *model.inputs[0].sample_shape)


def _backwards(model: Network, x: Any, output: int) -> Any:
    """The gradient of one number of the output by the inputs, of each row."""
    xs = list(x) if isinstance(x, (list, tuple)) and len(model.inputs) > 1 else [x]
    shape = model.outputs[0].sample_shape
    xs = [np.asarray(one) for one in xs]
    v = np.zeros((len(xs[0]), math.prod(shape)))
    v[:, output] = 1
    found = as_list(derived_model(model, "vjp", vjp).predict([*xs, v.reshape(len(v), *shape)]))[1:]
    return found if len(model.inputs) > 1 else found[0]
