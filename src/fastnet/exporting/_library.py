"""The portable library of operations in C99 (csrc/portable), taken apart into blocks of which an export holds those it needs."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

__all__ = ["Block", "Library", "Parameter", "load_library"]

#: Where the files are: beside this package once it is installed, in the source tree before.
_FOLDERS = ("portable", "../../csrc/portable")
_NAME = re.compile(r"\b(?:fnp|FNP)_\w+")
_FUNCTION = re.compile(r"^static [\w ]+?\**(fnp_\w+)\(([^{;]*)\)\s*\{", re.MULTILINE | re.DOTALL)
_OTHER = (
    re.compile(r"^#define (FNP_\w+)", re.MULTILINE),
    re.compile(r"^\} (fnp_\w+);", re.MULTILINE),
    re.compile(r"^typedef [\w ]+?\**(fnp_\w+);", re.MULTILINE),
    re.compile(r"^typedef [\w ]+?\(\*(fnp_\w+)\)\(", re.MULTILINE),
    re.compile(r"^static const [\w ]+?(fnp_\w+)\[", re.MULTILINE),
)


class Parameter(NamedTuple):
    """A parameter of a function.

    Attributes
    ----------
    type : str
        Of the number, or of what the array consists of.
    array : bool
    constant : bool
        An array that is only read.
    """

    name: str
    type: str
    array: bool
    constant: bool


class Block(NamedTuple):
    """A function, type, macro or table with the comment before it; parameters are those of a function, else None."""

    name: str
    text: str
    needs: frozenset[str]
    parameters: tuple[Parameter, ...] | None

    @property
    def from_input(self) -> bool:
        """Of the derivative of an activation: whether it is a function of what went into the activation."""
        return "/* from input" in self.text


def _resolve_conditions(text: str, values: dict[str, int]) -> str:
    """The lines that are left of `#if NAME == number` or `#if NAME`, `#else` and `#endif`, for macros with known values."""
    kept: list[bool] = []
    lines = []
    for line in text.splitlines():
        stripped = line.strip()
        found = re.fullmatch(r"#if (FNP_\w+)(?: == (\d+))?", stripped)
        if found:
            value = values[found[1]]
            kept.append(value == int(found[2]) if found[2] else value != 0)
        elif stripped == "#else" and kept:
            kept[-1] = not kept[-1]
        elif stripped == "#endif" and kept:
            kept.pop()
        elif all(kept):
            lines.append(line)
    return re.sub(r"\bFNP_BITS\b", str(values["FNP_BITS"]), "\n".join(lines))


def _parse_parameters(text: str) -> tuple[Parameter, ...]:
    parameters = []
    for part in re.sub(r"\s+", " ", text).split(","):
        declared = part.strip()
        if declared in ("", "void"):
            continue
        type_, _, name = declared.replace("*", " * ").rpartition(" ")
        array, constant = "*" in type_, "const" in type_.split()
        name = re.sub(r"\[\w*\]$", "", name)
        parameters.append(Parameter(name, re.sub(r"\bconst\b|\*", "", type_).strip(), array or declared.endswith("]"), constant))
    return tuple(parameters)


def _parse_block(text: str) -> Block | None:
    function = _FUNCTION.search(text)
    found = function or next((match for match in (pattern.search(text) for pattern in _OTHER) if match), None)
    if found is None:
        return None
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    needs = frozenset(_NAME.findall(code)) - {found[1]}
    return Block(found[1], text.strip(), needs, _parse_parameters(function[2]) if function else None)


class Library:
    """All blocks, for one precision.

    Parameters
    ----------
    bits : {32, 64}
    libm : bool
        Whether elementary functions are those of <math.h>.

    Attributes
    ----------
    bits : {32, 64}
    blocks : dict of str to Block
        In the order in which a C file has to have them.
    """

    def __init__(self, bits: int, libm: bool) -> None:
        self.bits = bits
        self.blocks: dict[str, Block] = {}
        self._bound: list[str] = []
        for path in _files():
            text = _resolve_conditions(path.read_text(encoding="utf-8"), {"FNP_BITS": bits, "FNP_LIBM": int(libm)})
            for part in re.split(r"\n{2,}", text):
                block = _parse_block(part)
                if block is not None:
                    if block.name in self.blocks:
                        raise ValueError(f"csrc/portable: {path.name} has another {block.name}")
                    self.blocks[block.name] = block
        for block in self.blocks.values():
            unknown = block.needs - self.blocks.keys()
            if unknown:
                raise ValueError(f"csrc/portable: {block.name} needs {sorted(unknown)[0]}, which is not there")

    def bind(self, function: str, name: str, value: float) -> str:
        """A function with one parameter, a number, filled in: its name."""
        bound = f"{function}_{value!r}".translate(str.maketrans({"-": "m", ".": "_", "+": ""}))
        if bound not in self.blocks:
            parameters = self.signature(function)
            declared = ", ".join(
                f"{'const ' if p.constant else ''}{p.type} {'*' if p.array else ''}{p.name}" for p in parameters if p.name != name
            )
            given = ", ".join(f"FNP_R({value!r})" if p.name == name else p.name for p in parameters)
            text = f"static void {bound}({declared})\n{{\n    {function}({given});\n}}"
            block = _parse_block(text)
            assert block is not None
            self.blocks[bound] = block
            self._bound.append(bound)
        return bound

    def __contains__(self, name: str) -> bool:
        return name in self.blocks

    def signature(self, function: str) -> Sequence[Parameter]:
        """The parameters of a function; KeyError where there is none of that name."""
        parameters = self.blocks[function].parameters
        if parameters is None:
            raise KeyError(function)
        return parameters

    def closure(self, functions: Iterable[str]) -> list[Block]:
        """The blocks of these functions and macros and all that they need, each after what it needs."""
        order: dict[str, Block] = {}
        bound = sorted(self._bound)  # whichever was first bound, by whatever export
        ranks = {name: rank for rank, name in enumerate([*(name for name in self.blocks if name not in bound), *bound])}

        def add(name: str) -> None:
            if name not in order:
                for need in sorted(self.blocks[name].needs, key=ranks.__getitem__):
                    add(need)
                order[name] = self.blocks[name]

        for name in sorted(set(functions), key=ranks.__getitem__):
            add(name)
        return list(order.values())


def _files() -> list[pathlib.Path]:
    here = pathlib.Path(__file__).resolve().parents[1]
    for folder in _FOLDERS:
        found = sorted((here / folder).glob("*.[ch]"), key=lambda path: (path.suffix != ".h", path.name))
        if found:
            return found
    raise FileNotFoundError("the files of csrc/portable are not there: fastnet was built without them")


@cache
def load_library(bits: int, libm: bool = False) -> Library:
    """The library for a precision; read once."""
    return Library(bits, libm)
