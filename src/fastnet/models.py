"""Models by the names of `keras.models`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._seeds import new_seed
from .layers import Input, Layer
from .model import Model, Sequential
from .saving import load_model, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "save_model"]


def clone_model(model: Model, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None) -> Model:
    """A model of the same layers with new weights, that is not compiled.

    Parameters
    ----------
    model : Model
    input_tensors : SymbolicTensor or list of SymbolicTensor, optional
        Inputs of the new model, in place of new ones.
    clone_function : callable, optional
        Takes a layer and returns the one in its place. Default: ``layer.from_config(layer.get_config())``.

    Returns
    -------
    Model
        Of another seed, so that its weights begin with other numbers, or, after `utils.set_random_seed`, with those that are next.

    Raises
    ------
    ValueError
        If `clone_function` or `input_tensors` are given for a model that is no `Sequential`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(2)], seed=0)
    >>> other = fn.models.clone_model(model)
    >>> other.count_params(), bool((other.layers[0].kernel == model.layers[0].kernel).all())
    (10, False)
    """
    if isinstance(model, Sequential):
        clone = clone_function or _clone_layer
        layers = [
            clone_model(layer) if isinstance(layer, Model) and clone_function is None else clone(layer) for layer in model.layers
        ]
        first = input_tensors[0] if isinstance(input_tensors, (list, tuple)) else input_tensors
        if first is None and model._input is not None:
            first = Input(model._input.sample_shape, model._input.batch_size, name=model._input.name)
        given = [] if first is None else [first]
        return Sequential([*given, *layers], seed=new_seed(), dtype=model.dtype, name=model.name)
    if input_tensors is not None or clone_function is not None:
        raise ValueError(
            "clone_model: input_tensors and clone_function are for Sequential models; call the model on other inputs"
        )
    return Model.from_config({**model.get_config(), "compiled": None, "seed": new_seed()})


def _clone_layer(layer: Layer) -> Layer:
    return type(layer).from_config(layer.get_config())
