"""Calls of one argument that is a list of tensors where a layer is called on several, as in Keras."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["takes_list"]


def takes_list(function: Callable[..., Any]) -> Callable[..., Any]:
    """A `call` of the user's with one argument beside `training` as one that takes several tensors, one after another; others as they are."""
    if getattr(function, "__module__", None) is None or function.__module__.startswith("fastnet.layers."):
        return function
    try:
        signature = inspect.signature(function)
    except ValueError:  # of what is not written in Python
        return function
    kinds = inspect.Parameter
    parameters = [one for one in signature.parameters.values() if one.name != "training"]
    places = [one for one in parameters if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    if len(places) != 1 or any(one.kind == kinds.VAR_POSITIONAL for one in parameters):
        return function

    @functools.wraps(function)
    def packed(*inputs: Any, **options: Any) -> Any:
        return function(list(inputs) if len(inputs) > 1 else inputs[0], **options)

    others = [one for one in signature.parameters.values() if one is not places[0]]
    named = [one if one.kind == kinds.VAR_KEYWORD else one.replace(kind=kinds.KEYWORD_ONLY) for one in others]
    packed.__signature__ = signature.replace(parameters=[places[0].replace(kind=kinds.VAR_POSITIONAL), *named])  # type: ignore[attr-defined]
    return packed
