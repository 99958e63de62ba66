"""Descriptions that can be written down: classes whose state is their constructor's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ._booleans import ChecksBooleans
from ._names import lookup, snake_case
from ._registered import get_registered_object, registered_name

__all__ = ["Configurable", "Name", "deserialize", "get", "own_function", "serialize", "to_plain"]


class _Annotation(str):
    """An annotation, shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


class _Signature:
    """The signature of a class, for `help` and editors: a constructor's ``**kwargs`` by their names.

    It is made when it is asked for, so that nothing is imported for it.
    """

    def __get__(self, thing: Any, cls: type[Configurable]) -> Any:
        if thing is not None:  # of objects that can be called: that of `__call__`
            raise AttributeError("__signature__")
        import inspect

        parameters: dict[str, inspect.Parameter] = {}
        for init in cls._constructors():
            for name, parameter in list(inspect.signature(init).parameters.items())[1:]:
                if name in parameters or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    continue
                if isinstance(parameter.annotation, str):
                    parameter = parameter.replace(annotation=_Annotation(parameter.annotation))
                parameters[name] = parameter if init is cls.__init__ else parameter.replace(kind=parameter.KEYWORD_ONLY)
        return inspect.Signature(list(parameters.values()))


class Configurable(ChecksBooleans):
    """Base of layers, losses, metrics, optimizers, schedules, initializers, regularizers, ...

    A subclass stores each argument of its constructor in an attribute of the same name. From that
    follow `get_config`, `from_config`, equality, hash and representation. Where a constructor takes
    ``**kwargs``, they are those of the next class in the method resolution order.

    Examples
    --------
    >>> class Step(Configurable):
    ...     def __init__(self, size, factor=0.5):
    ...         self.size, self.factor = size, factor
    >>> Step(3).get_config()
    {'size': 3, 'factor': 0.5}
    >>> Step.from_config({"size": 3}) == Step(3)
    True
    >>> Step(3), Step(3, factor=0.1)
    (Step(size=3), Step(size=3, factor=0.1))
    """

    _defaults_cache: ClassVar[dict[type, dict[str, Any]]] = {}
    __signature__ = _Signature()

    @classmethod
    def _arguments(cls) -> dict[str, Any]:
        """The constructor's arguments in order, with their defaults (`...` where there is none)."""
        if cls not in Configurable._defaults_cache:
            found: dict[str, Any] = {}
            for init in cls._constructors():
                code = init.__code__
                n_positional = code.co_argcount
                names = code.co_varnames[: n_positional + code.co_kwonlyargcount]
                defaults = dict.fromkeys(names[1:], ...)
                given = init.__defaults__ or ()
                defaults.update(zip(names[n_positional - len(given) : n_positional], given))
                defaults.update(init.__kwdefaults__ or {})
                found.update((name, value) for name, value in defaults.items() if name not in found)
            Configurable._defaults_cache[cls] = found
        return Configurable._defaults_cache[cls]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as a dictionary that JSON can hold."""
        return {name: to_plain(getattr(self, name)) for name in self._arguments()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Configurable:
        """The object whose `get_config` gave `config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), repr(self.get_config())))

    def __repr__(self) -> str:
        given = (
            f"{name}={_shown(getattr(self, name))}"
            for name, default in self._arguments().items()
            if default is ... or not _is_default(getattr(self, name), default)
        )
        return f"{type(self).__name__}({', '.join(given)})"

    def _is_meant_by(self, identifier: Any) -> bool:
        """Whether `identifier`, what a user may write in place of an object, stands for this one."""
        cls = type(self)
        return isinstance(identifier, str) and snake_case(cls.__name__) == snake_case(identifier) and self == cls()


class Name:
    """The attribute ``name`` of a class: a string or None.

    Checked since another argument that comes first elsewhere, such as the threshold of an accuracy, is given in its place.
    """

    def __get__(self, thing: Any, cls: type) -> Any:
        if thing is None:
            return self
        try:
            return vars(thing)["name"]
        except KeyError:
            raise AttributeError(f"this {cls.__name__} has no name") from None

    def __set__(self, thing: Any, name: str | None) -> None:
        if not isinstance(name, str | None):
            raise TypeError(f"{type(thing).__name__}: name must be a string, got {name!r}")
        vars(thing)["name"] = name


def _shown(value: Any) -> str:
    """A value in the representation; of a long list, as a vocabulary, the beginning."""
    if isinstance(value, list) and len(value) > 100:
        return f"{repr(value[:5])[:-1]}, ... {len(value) - 5} more]"
    return repr(value)


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(value, Configurable) and value._is_meant_by(default):
        return True
    return to_plain(value) == to_plain(default)


def to_plain(value: Any) -> Any:
    """A value as JSON can hold it: objects as their configurations, arrays and tuples as lists."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def serialize(thing: Configurable) -> dict[str, Any]:
    """``{"class_name": ..., "config": ...}``, of nothing but what JSON can hold."""
    return {"class_name": registered_name(type(thing)), "config": thing.get_config()}


def deserialize(description: Mapping[str, Any], table: Mapping[str, type], kind: str = "class") -> Any:
    """The object that `serialize` described, of one of the classes in `table`.

    Raises
    ------
    ValueError
        If the table has no class of that name, or the description is not of that form.
    """
    if not isinstance(description, Mapping) or "class_name" not in description:
        raise ValueError(f"not the description of a {kind}: {description!r}; expected a mapping with 'class_name'")
    cls = get_registered_object(description["class_name"]) or lookup(kind, description["class_name"], table)
    return cls.from_config(description.get("config") or {})


def get(kind: str, identifier: Any, table: Mapping[str, type], base: type) -> Any:
    """The object that a user means by `identifier`.

    Parameters
    ----------
    kind : str
        What is looked for, for messages: "loss", "initializer".
    identifier : str, mapping, type or instance
        A name in `table`, what `serialize` returned, a subclass of `base`, or an instance of one.
    table : mapping of str to type
        The classes by name.
    base : type
        What the result is an instance of.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the identifier is none of these.
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, str):
        return lookup(kind, identifier, table)()
    if isinstance(identifier, Mapping):
        return deserialize(identifier, table, kind)
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    raise TypeError(f"{identifier!r} is no {kind}; expected a name, a {base.__name__} or its configuration")


def own_function(thing: Any, *modules: str) -> str | None:
    """The name of a function of the package that stands for a class of that name, as `losses.hinge` for `Hinge`; None: it is none."""
    found = getattr(thing, "__module__", None)
    return getattr(thing, "__name__", None) if any(found == f"fastnet.{module}" for module in modules) else None
