"""Derivatives by what a model or a function is computed from: as operations of the same graph, or of arrays at once.

A derivative that is made of symbolic tensors consists of operations, so that it has derivatives itself, and a loss may contain it.
Rows of a batch are computed apart, so that all derivatives are those of a row by its own inputs.

`vjp`, `jvp`, `hvp` and `jacobian` have the arguments of PyTorch's functions of these names, `grad` those of JAX's, `gradients` those
of TensorFlow's. `gradients` is no function of `fastnet.ops`, as NumPy's `gradient` is something else, a difference of neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _derived
from ._derived import Tensors, as_list, derive, derived_model, require_one_number
from ._graph import FUNCTIONS, Graph, SymbolicTensor, as_tensors, outside_calls
from ._order import sort_operations
from ._weights import Weight, WeightFormula
from .layers._operands import with_formulas, without_formulas
from .layers.functional import HAS_BATCH
from .model import Model

__all__ = ["grad", "gradients", "hvp", "jacobian", "jvp", "vjp"]

Function = Callable[..., Any]


def gradients(ys: Any, xs: Any, output_gradients: Any = None) -> Any:
    """The derivative of the sum of all numbers of ys by those of xs, as new operations of the graph.

    Parameters
    ----------
    ys : SymbolicTensor or list of SymbolicTensor
    xs : SymbolicTensor or list of SymbolicTensor
        What ys are computed from: inputs of the model, or what a layer returned; within a `call`, of ys that are formulas of weights alone,
        weights.
    output_gradients : SymbolicTensor or list of SymbolicTensor, optional
        What the numbers of ys are multiplied with before they are summed, of their shapes; default: 1.

    Returns
    -------
    SymbolicTensor or list of SymbolicTensor
        Of the shapes of xs: 0 where ys do not depend on them.

    Raises
    ------
    NotImplementedError
        If an operation between xs and ys has no derivative in operations; the error names the layer.
    ValueError
        If a gradient of the outputs has another shape.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((2,))
    >>> slope = fn.gradients(x**3, x)
    >>> fn.Model(x, [slope, fn.gradients(slope, x)], seed=0).predict([[1.0, 2.0]])
    [array([[ 3., 12.]], dtype=float32), array([[ 6., 12.]], dtype=float32)]
    """
    given = [without_formulas(one) for one in (ys, xs, output_gradients)]
    by_weights = _are_of_weights("gradients", as_list(ys), as_list(xs))
    found = derive(as_tensors(given[0], "ys"), as_tensors(given[1], "xs"), given[2])
    found = with_formulas(found) if by_weights else found
    return found if isinstance(xs, (list, tuple)) else found[0]


def _are_of_weights(name: str, ys: Sequence[Any], xs: Sequence[Any]) -> bool:
    """Whether it is asked for the derivative of a formula of weights by weights, of which all that there is has no batch.

    Raises
    ------
    NotImplementedError
        If it is that of something else by a weight: a sum over the rows, which the engine has in training alone.
    """
    weights = [one for one in xs if isinstance(one, Weight)]
    if not weights:
        return False
    own = {one for one in weights if not isinstance(one, WeightFormula)}
    ends = without_formulas(list(ys))
    batch = any(one.has_batch for one in ends)
    if batch or any(own.intersection(one.parameters) for one in sort_operations([], ends)):
        raise NotImplementedError(
            f"fn.{name}: the derivative by {weights[0]!r} of what has a batch is a sum over the rows, which a plan computes to train, and not as "
            "operations; that of a formula of weights alone is one, and by the inputs of a model"
        )
    return True


def grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The function that computes the derivative of a function by its arguments.

    Parameters
    ----------
    function : callable
        Written in `fastnet.ops` and layers, or a model. It returns one number for each row; given arrays, one number in all,
        but a model takes a batch of rows.
    argnums : int or sequence of int
        By which arguments.

    Returns
    -------
    callable
        It takes the arguments of `function`: symbolic tensors, or within a `call` weights, to which it adds operations, or arrays, with
        which it computes at once. It returns the derivative, or a list of them where `argnums` is a sequence.

    Raises
    ------
    ValueError
        When called, if the function returns more than one number.
    NotImplementedError
        When called, if an operation has no derivative in operations.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> fn.grad(lambda x: fn.ops.sum(fn.ops.sin(x)))(np.zeros(3)).tolist()
    [1.0, 1.0, 1.0]
    >>> x = fn.Input((2,))
    >>> curvature = fn.grad(lambda t: fn.ops.sum(fn.grad(lambda s: fn.ops.sum(s**3, axis=1))(t), axis=1))(x)
    >>> fn.Model(x, curvature, seed=0).predict([[1.0, 2.0]]).tolist()
    [[6.0, 12.0]]
    """
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    def derivative(*args: Any) -> Any:
        def build(ys: Tensors, xs: Tensors, vs: Tensors) -> Tensors:
            require_one_number(ys, "grad")
            return derive(ys, [xs[i] for i in numbers])

        found = _compute(function, f"grad {numbers}", list(args), [], build)[1]
        return found[0] if isinstance(argnums, int) else found

    return derivative


def vjp(function: Function, inputs: Any, v: Any) -> tuple[Any, Any]:
    """The product of a vector with the Jacobian of a function: backwards, from its outputs to its inputs.

    Parameters
    ----------
    function : callable
        As for `grad`, but it may return any number of numbers.
    inputs : SymbolicTensor, array_like or list of them
        Its arguments.
    v : SymbolicTensor, array_like or list of them
        Of the shape of what it returns.

    Returns
    -------
    outputs : SymbolicTensor, ndarray or list of them
        What the function returns.
    products : SymbolicTensor, ndarray or list of them
        Of the shape of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> fn.vjp(lambda x: x**2, np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    (array([1., 4.]), array([ 2., 40.]))
    """
    return _product(function, "vjp", inputs, v, _derived.vjp)


def jvp(function: Function, inputs: Any, v: Any) -> tuple[Any, Any]:
    """The product of the Jacobian of a function with a vector: how its outputs change as its inputs change by v.

    Parameters
    ----------
    function, inputs
        As for `vjp`.
    v : SymbolicTensor, array_like or list of them
        Of the shape of the inputs.

    Returns
    -------
    outputs, products : SymbolicTensor, ndarray or list of them
        Of the shape of what the function returns.
    """
    return _product(function, "jvp", inputs, v, _derived.jvp, of_inputs=True)


def hvp(function: Function, inputs: Any, v: Any) -> tuple[Any, Any]:
    """The product of the Hessian, the matrix of the second derivatives, of a function that returns one number for each row, with a vector.

    Parameters
    ----------
    function
        As for `grad`.
    inputs, v
        As for `jvp`.

    Returns
    -------
    outputs, products : SymbolicTensor, ndarray or list of them
        What the function returns; the product, of the shape of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> fn.hvp(lambda x: fn.ops.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 0.0]))[1]
    array([6., 0.])
    """
    return _product(function, "hvp", inputs, v, _derived.hvp, of_inputs=True)


def _product(function: Function, name: str, inputs: Any, v: Any, build: Any, of_inputs: bool = False) -> tuple[Any, Any]:
    several = isinstance(inputs, (list, tuple))
    xs, vs = list(inputs) if several else [inputs], list(v) if isinstance(v, (list, tuple)) else [v]
    ys, found = _compute(function, name, xs, vs, build, of_inputs)
    whole = several if name != "jvp" else len(ys) > 1
    return (ys if len(ys) > 1 else ys[0]), (found if whole else found[0])


def jacobian(function: Function, inputs: Any) -> Any:
    """All derivatives of what a function returns by its argument.

    Parameters
    ----------
    function : callable
        As for `vjp`, of one argument.
    inputs : SymbolicTensor or array_like
        The argument.

    Returns
    -------
    SymbolicTensor or ndarray
        The axes of what the function returns, then those of the argument; those of a row after that of the batch. One pass back for
        each number of the result.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> fn.jacobian(lambda x: x**2, np.array([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    def build(ys: Tensors, xs: Tensors, vs: Tensors) -> Tensors:
        if len(ys) != 1 or len(xs) != 1:
            raise ValueError(
                f"fn.jacobian is of a function of one tensor that returns one, got {len(xs)} and {len(ys)}: fn.vjp takes any"
            )
        (y,), (x,) = ys, xs
        shape, size = y.sample_shape, math.prod(y.sample_shape)
        rows = []
        for unit in np.eye(size):
            one = FUNCTIONS["reshape"](y, (*_lead(), size)) * 0.0 + unit
            rows.append(derive([y], [x], [FUNCTIONS["reshape"](one, (*_lead(), *shape))])[0])
        rows = [FUNCTIONS["reshape"](row, (*_lead(), 1, *x.sample_shape)) for row in rows]
        table = FUNCTIONS["concatenate"](rows, axis=len(_lead())) if size > 1 else rows[0]
        return [FUNCTIONS["reshape"](table, (*_lead(), *shape, *x.sample_shape))]

    return _compute(function, "jacobian", [inputs], [], build)[1][0]


def _check_vectors(kind: str, vectors: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]], what: str) -> None:
    """ValueError where v is not of the shapes of the inputs or outputs."""
    given = [vector.shape for vector in vectors]
    one_number = len(vectors) == len(shapes) and all(v.size == math.prod(s) == 1 for v, s in zip(vectors, shapes))
    if vectors and not one_number and given != [tuple(shape) for shape in shapes]:
        raise ValueError(f"fn.{kind.split()[0]}: v must be of the shapes of the {what}, {shapes}, got {given}")


def _lead() -> tuple[int, ...]:
    """How a shape begins."""
    return (-1,) if HAS_BATCH.get() else ()


# ---- symbolic tensors and arrays -----------------------------------------------------------------------------


def _compute(
    function: Function, kind: str, xs: list[Any], vs: list[Any], build: Any, of_inputs: bool = False
) -> tuple[list[Any], list[Any]]:
    """What a function returns, and what `build` makes of it, of its arguments and of the vectors."""
    if not callable(function):
        raise TypeError(f"fn.{kind.split()[0]}: function must be callable, got {function!r}")
    if any(isinstance(one, Weight) and not one._is_known for one in xs):  # while a graph is made
        ys = as_list(function(*xs))
        _are_of_weights(kind.split()[0], ys, xs)
        return ys, with_formulas(build(*(without_formulas(list(given)) for given in (ys, xs, vs))))
    if any(isinstance(one, SymbolicTensor) for one in xs):
        ys = as_list(function(*xs) if not isinstance(function, Model) else function(xs))
        return ys, build(ys, xs, as_tensors(vs, "v") if vs else [])
    arrays = [np.asarray(one) for one in xs]
    vectors = [np.asarray(one) for one in vs]
    if isinstance(function, Model):
        model = derived_model(function, kind, build, of_inputs)
        count = len(model.inputs) - len(function.inputs)
        if vectors and len(vectors) != count:
            what = "inputs" if of_inputs else "outputs"
            raise ValueError(f"fn.{kind.split()[0]}: v must be one array for each of the {count} {what}, got {len(vectors)}")
        found = as_list(model.predict([*arrays, *vectors]))
        return found[: len(function.outputs)], found[len(function.outputs) :]
    # The whole arrays are one row.
    token = HAS_BATCH.set(False)
    try:
        with outside_calls():
            given = [SymbolicTensor(array.shape, None) for array in arrays]
            ys = as_list(function(*given))
            shaped = given if of_inputs else ys
            _check_vectors(kind, vectors, [one.sample_shape for one in shaped], "inputs" if of_inputs else "outputs")
            tensors = [SymbolicTensor(one.sample_shape, None) for one, _ in zip(shaped, vectors)]
            outputs = build(ys, given, tensors)
            slabs = [weight.slab for weight in Graph([*given, *tensors], [*ys, *outputs]).weights() if weight.slab is not None]
            dtype = slabs[0].dtype if slabs else "float64" if any(a.dtype == np.float64 for a in arrays) else "float32"
            model = Model([*given, *tensors], [*ys, *outputs], seed=0, dtype=dtype)
    finally:
        HAS_BATCH.reset(token)
    rows = [array[np.newaxis] for array in arrays]
    rows += [vector.reshape(1, *tensor.sample_shape) for vector, tensor in zip(vectors, tensors, strict=True)]
    found = [row[0] for row in as_list(model.predict(rows))]
    return found[: len(ys)], found[len(ys) :]
