"""Classes and functions of the user's that files name: registered once, for the time of a block, or given to who reads a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = [
    "CustomObjectScope", "CustomObjects", "custom_object_scope", "get_custom_objects", "get_registered_name", "get_registered_object",
    "register_keras_serializable", "registered_name",
]  # fmt: skip

Thing = TypeVar("Thing", bound=Callable[..., Any])

#: By the whole name, "package>name".
_REGISTERED: dict[str, Any] = {}
_NAMES: dict[Any, str] = {}
_SCOPE: ContextVar[Mapping[str, Any] | None] = ContextVar("_SCOPE", default=None)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Thing], Thing]:
    """A decorator that makes a class, or a function, known to `fastnet.load_model` under the name ``package>name``.

    Parameters
    ----------
    package : str
    name : str, optional
        Default: that of the class.

    Raises
    ------
    ValueError
        If another one is known under this name, or a class has no `get_config`.

    Examples
    --------
    >>> import fastnet as fn
    >>> @fn.saving.register_keras_serializable("example")
    ... class Twice(fn.layers.Layer):
    ...     def call(self, x):
    ...         return 2 * x
    >>> fn.saving.get_registered_name(Twice)
    'example>Twice'
    """

    def register(thing: Thing) -> Thing:
        whole = f"{package}>{name or thing.__name__}"
        if isinstance(thing, type) and not hasattr(thing, "get_config"):
            raise ValueError(f"class {thing.__name__} has no get_config: it cannot be saved")
        known = _REGISTERED.get(whole, thing)
        # The same source again, as a notebook's cell that is run twice.
        if known is not thing and (known.__module__, known.__qualname__) != (thing.__module__, thing.__qualname__):
            raise ValueError(f"{whole!r} is the name of {known!r} already")
        _REGISTERED[whole] = thing
        _NAMES[thing] = whole
        return thing

    return register


def registered_name(thing: Any) -> str:
    """By which files know a class or a function."""
    try:
        known = _NAMES.get(thing)
    except TypeError:  # one that has no hash
        known = None
    return known or str(getattr(thing, "__name__", type(thing).__name__))


def get_registered_name(obj: Any) -> str:
    """The name under which a class or a function was registered, or its own."""
    return registered_name(obj)


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of a name, of those given, of a scope, or registered; None where there is none."""
    for table in (_SCOPE.get() or {}, custom_objects or {}, _REGISTERED, module_objects or {}):
        if name in table:
            return table[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """What is registered, by name; changing it changes that."""
    return _REGISTERED


class CustomObjects:
    """All classes and functions of the user's that a file may name: those given, of a scope, and registered, in this order.

    Parameters
    ----------
    given : mapping of str to class or function
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self.table: dict[str, Any] = {}
        for table in (given or {}, _SCOPE.get() or {}, _REGISTERED):
            for name, thing in table.items():
                self.table.setdefault(name, thing)
                self.table.setdefault(registered_name(thing), thing)

    def get(self, name: Any) -> Any:
        """What a name stands for, or else what it stands for without its package; None: nothing."""
        if not isinstance(name, str):
            return None
        found = self.table.get(name)
        return self.table.get(name.rpartition(">")[2]) if found is None and ">" in name else found


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """Within it, files may name these classes and functions.

    Parameters
    ----------
    custom_objects : mapping of str to class or function

    Examples
    --------
    >>> import fastnet as fn
    >>> with fn.saving.custom_object_scope({"Step": float}):
    ...     fn.saving.get_registered_object("Step")
    <class 'float'>
    """
    token = _SCOPE.set({**(_SCOPE.get() or {}), **custom_objects})
    try:
        yield
    finally:
        _SCOPE.reset(token)


CustomObjectScope = custom_object_scope
