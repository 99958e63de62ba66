"""Which distribution models are trained with that were not told of another one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from .distribution._data_parallel import DataParallel

__all__ = ["check_distribution", "distribution", "joint", "set_distribution"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_current: DataParallel | None = None


def distribution() -> DataParallel | None:
    """What `set_distribution` was given last; None: each process trains its own models.

    Returns
    -------
    DataParallel or None
    """
    return _current


def set_distribution(value: DataParallel | None) -> None:
    """Says how models are trained from now on, unless their `compile` was told otherwise.

    Parameters
    ----------
    value : DataParallel or None
        None: each process trains its own models.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.distribution.set_distribution(None)
    """
    global _current
    _current = check_distribution(value)


def check_distribution(value: Any) -> Any:
    """The value; TypeError where it is no distribution."""
    from .distribution._data_parallel import DataParallel

    if value is not None and not isinstance(value, DataParallel):
        raise TypeError(f"the distribution must be a fastnet.distribution.DataParallel or None, got {value!r}")
    return value


def joint(function: _Function) -> _Function:
    """A method of a model that all processes of its distribution call together: where it fails in one of them, the others are told."""

    @functools.wraps(function)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        distribution = self.distribution
        if distribution is None:
            return function(self, *arguments, **options)
        with distribution._meetings.together(function.__name__):
            return function(self, *arguments, **options)

    return cast(_Function, call)
