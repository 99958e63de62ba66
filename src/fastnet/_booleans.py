"""Arguments that are True or False: what else Python takes for one of them is a mistake, as the text "no" is."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

__all__ = ["ChecksBooleans", "check_booleans", "is_boolean"]

_VARIABLE_KEYWORDS = 0x08  # flag of a code object: the function has **kwargs

#: What has been found of classes, as long as they are used.
_known: weakref.WeakKeyDictionary[type, dict[str, int | None]] = weakref.WeakKeyDictionary()


def is_boolean(value: Any) -> bool:
    """Whether a value is True or False, of Python or NumPy, or the number 0 or 1.

    >>> [is_boolean(one) for one in (True, np.bool_(False), 1, np.int64(0), np.array(True), 2, "no", None, [])]
    [True, True, True, True, True, False, False, False, False]
    """
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind == "b"
    return isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1))


def check_booleans(owner: str, **values: Any) -> None:
    """TypeError for one of the arguments of a function or class that is neither True nor False."""
    for name, value in values.items():
        if type(value) is not bool and not is_boolean(value):
            raise TypeError(f"{owner}: {name} must be True or False, got {value!r:.100}")


class ChecksBooleans:
    """Base of classes of fastnet that are made by users: arguments of constructors that are annotated as bool are checked.

    Where a constructor takes ``**kwargs``, they are those of the next class in the method resolution order. Constructors of users' classes
    say for themselves what they take.
    """

    def __new__(cls, *given: Any, **named: Any) -> Self:  # a type of its own, or checkers would ask nothing of `__init__`
        if given or named:
            for name, place in cls._booleans().items():
                if name in named:
                    value = named[name]
                elif place is not None and place < len(given):
                    value = given[place]
                else:
                    continue
                if type(value) is not bool:
                    check_booleans(cls.__name__, **{name: value})
        return super().__new__(cls)

    @classmethod
    def _constructors(cls) -> Iterator[Any]:
        """The constructors that take a share of the arguments: that of the class, and while one has ``**kwargs``, the next."""
        for base in cls.__mro__:
            init = base.__dict__.get("__init__")
            code = getattr(init, "__code__", None)
            if code is None:
                continue
            yield init
            if not code.co_flags & _VARIABLE_KEYWORDS:
                return

    @classmethod
    def _booleans(cls) -> dict[str, int | None]:
        """The arguments that are annotated as bool, and their places among those by position, if they may be given so."""
        found = _known.get(cls)
        if found is None:
            found, known = {}, set()
            for number, init in enumerate(cls._constructors()):
                code = init.__code__
                names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
                for place, name in enumerate(names):
                    own = init.__module__.partition(".")[0] == "fastnet" and init.__annotations__.get(name) in ("bool", bool)
                    if own and name not in known:
                        found[name] = place if number == 0 and place < code.co_argcount - 1 else None
                known.update(names)
            _known[cls] = found
        return found
