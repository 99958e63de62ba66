"""The text of an exported C file."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._library import Library
from ._lowering import Step
from ._names import comment
from ._operations import PREDICTIONS
from ._program import BYTES, Array, Call, Code, lay_out

__all__ = ["Export", "Function", "write_files"]

#: Groups of arrays in the memory that the caller gives, in this order, and what is said of them.
_MEMORY = {
    "weight": "weights, at first those of the model",
    "slot": "what the optimizer keeps of them",
    "state": "states of recurrent layers, kept from call to call",
    "gradient": "gradients of the weights",
    "value": "all other arrays; those that are never needed at once share their place",
}
_MEMBERS = {"weight": "weights", "slot": "slots", "state": "states", "gradient": "gradients", "value": "values"}


#: The largest index of the file.
_LARGEST = 2**31 - 1
#: Of lines of the file.
_COLUMNS = 130


class Function(NamedTuple):
    """A function of the exported file: its name without the prefix, what it does, and its program."""

    name: str
    comment: str
    step: Step


class Export(NamedTuple):
    """What is written.

    Attributes
    ----------
    prefix : str
        Of all names.
    title : list of str
        Lines of the comment at the top.
    bits : {32, 64}
    libm : bool
    library : Library
    functions : list of Function
    steps : int
        That were done before; a model that is trained begins with this one.
    tests : list of (list of ndarray, list of ndarray)
        Inputs and outputs of `predict`, for the self-test.
    tolerance : float
        Of the self-test: largest difference in proportion to the largest output.
    batch : int
    """

    prefix: str
    title: Sequence[str]
    bits: int
    libm: bool
    library: Library
    functions: Sequence[Function]
    steps: int
    tests: Sequence[tuple[list[np.ndarray], list[np.ndarray]]]
    tolerance: float
    batch: int


def number(value: float, bits: int) -> str:
    """A number as a constant of C that is read as the same number."""
    return numbers(np.array([value]), bits)[0]


def numbers(values: np.ndarray, bits: int) -> list[str]:
    """Numbers as constants of C, each with as many digits as give back the same number."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32 if bits == 32 else np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"values that are not finite, or no numbers of float{bits}")
    with np.printoptions(legacy=False):  # text of NumPy is the shortest one that is read as the same number
        return [f"{value!s}f" for value in values] if bits == 32 else [repr(value) for value in values.tolist()]


def _rename(text: str, prefix: str) -> str:
    def replace(found: re.Match[str]) -> str:
        return f"{prefix if found[1] == 'fnp' else prefix.upper()}_"

    return re.sub(r"\b(fnp|FNP)_", replace, text)


def _break_lines(text: str) -> str:
    """The text with long lines of code broken between arguments, and long comments of one line between words."""
    found = []
    for line in text.split("\n"):
        if len(line) > _COLUMNS and line.startswith("/* ") and line.endswith(" */"):
            found += textwrap.wrap(line, _COLUMNS, subsequent_indent=" * ", break_long_words=False, break_on_hyphens=False)
            continue
        code = not line.lstrip().startswith(("#", "*", "/*"))
        start = min(line.find("(") + 1, _COLUMNS // 2)
        while code and len(line) > _COLUMNS:
            end = line.rfind(", ", start, _COLUMNS)
            if end < 0:
                break
            found.append(line[: end + 1])
            line = " " * start + line[end + 2 :]
        found.append(line)
    return "\n".join(found)


def _is_uniform(array: Array) -> bool:
    """Whether a slot starts from one number."""
    return array.values is not None and bool(np.all(array.values == array.values[0]))


class _Writer:
    def __init__(self, export: Export) -> None:
        self.export = export
        self.arrays: dict[Array, None] = {}
        for function in export.functions:
            step = function.step
            for call in step.calls:
                for array in call.arguments:
                    if isinstance(array, Array):
                        self.arrays.update(dict.fromkeys([array, *array.members]))
        types: dict[str, set[str]] = {}
        for array in self.arrays:
            types.setdefault(array.kind, set()).add(array.type)
        self.member_types = {kind: found.pop() if len(found) == 1 else "fnp_real" for kind, found in types.items()}
        self.tables = self._name_tables()
        self.sizes = {kind: self._place(kind) for kind in _MEMORY if kind != "value"}
        steps = [function.step for function in export.functions]
        self.sizes["value"] = max(
            (lay_out(step.calls, export.bits, step.loop[0] if step.loop else None) for step in steps), default=0
        )
        for kind, size in self.sizes.items():
            self.sizes[kind] = -(-size // self.item(kind)) * self.item(kind)
        groups = [size // self.item(kind) for kind, size in self.sizes.items()]
        largest = max([*groups, *(array.size for array in self.arrays)], default=0)
        if largest > _LARGEST:
            raise ValueError(
                f"export: arrays of {largest} numbers; the indices of the file end at {_LARGEST}: take a smaller batch_size"
            )

    def _name_tables(self) -> dict[Array, str]:
        """By array that has a table in the file: a name that no function, macro or other table has.

        Programs may have the same table: one of the same name and numbers.
        """
        reserved = {name.removeprefix("fnp_").removeprefix("FNP_").lower() for name in self.export.library.blocks}
        reserved.update(function.name for function in self.export.functions)
        reserved.update(("memory", "reset", "selftest"))
        contents: dict[str, tuple[str, bytes]] = {}
        found = {}
        for array in self.arrays:
            kept = array.kind == "slot" and not _is_uniform(array)
            if (array.kind in ("constant", "weight") or kept) and not array.members:
                assert array.values is not None
                content, name = (array.type, array.values.tobytes()), array.name
                while name.lower() in reserved or name.startswith("test_") or contents.setdefault(name, content) != content:
                    name = f"table_{name}" if name.startswith("test_") else f"{name}_"
                found[array] = name
        return found

    def _place(self, kind: str) -> int:
        """Gives the arrays of a kind their places, members of larger ones side by side."""
        end = 0
        placed: set[Array] = set()
        ours = [array for array in self.arrays if array.kind == kind]
        for array in sorted(ours, key=lambda array: -len(array.members)):
            for one in array.members or [array]:
                if one not in placed:
                    one.offset, end = end, end + one.bytes(self.export.bits)
                    placed.add(one)
            if array.members:
                array.offset = array.members[0].offset
        return end

    def member_type(self, kind: str) -> str:
        """Of a group in memory: that of all that is in it, or else fnp_real."""
        return self.member_types.get(kind, "fnp_real")

    def item(self, kind: str) -> int:
        """Bytes of an element of a group in memory."""
        return BYTES.get(self.member_type(kind), self.export.bits // 8)

    def place(self, array: Array) -> str:
        """An expression for an array in memory."""
        member, item = f"memory->{_MEMBERS[array.kind]}", self.item(array.kind)
        if array.type != self.member_type(array.kind):
            member, item = f"({array.type} *){member}", BYTES[array.type]
            if item != 1:
                raise TypeError(
                    f"export: {array.type} {array.name} lies among {self.member_type(array.kind)}; only characters may"
                )
        return f"{member} + {array.offset // item}" if array.offset else member

    # ---- names ----------------------------------------------------------------------------------------

    def argument(self, value: Any) -> str:
        """An argument of a call."""
        if value is None:
            return "0"
        if isinstance(value, Code):
            return str(value)
        if isinstance(value, Array):
            if value.kind == "argument":
                return value.name
            if value.kind == "constant":
                return f"fnp_{self.tables[value]}"
            return self.place(value)
        if isinstance(value, float):
            if math.isinf(value):
                return f"{'-' if value < 0 else ''}FNP_INFINITY"
            return number(value, self.export.bits)
        if not -_LARGEST <= value <= 2 * _LARGEST + 1:
            raise ValueError(
                f"export: {value} is beyond the indices of the file, which end at {_LARGEST}: take a smaller batch_size"
            )
        return str(int(value))

    # ---- parts of the file -------------------------------------------------------------------------------

    def table(self, name: str, type_: str, values: np.ndarray) -> str:
        """A constant array, or a structure of integers."""
        if type_ == "fnp_real":
            try:
                texts = numbers(values, self.export.bits)
            except ValueError as error:
                raise ValueError(f"export: {name.removeprefix('fnp_')} has {error}") from None
        else:
            texts = [str(int(value)) for value in values]
        lines, line = [], "   "
        for text in texts:
            if len(line) + len(text) + 2 > _COLUMNS:
                lines.append(line)
                line = "   "
            line += f" {text},"
        text = "\n".join([*lines, line])
        if type_ not in ("fnp_real", *BYTES):
            return f"static const {type_} {name}[1] = {{{{\n{text}\n}}}};"
        return f"static const {type_} {name}[{len(texts)}] = {{\n{text}\n}};"

    def memory_type(self) -> str:
        lines = ["typedef struct fnp_memory {"]
        for kind, purpose in _MEMORY.items():
            if self.sizes[kind]:
                size = self.sizes[kind] // self.item(kind)
                lines.append(f"    {self.member_type(kind)} {_MEMBERS[kind]}[{size}]; /* {purpose} */")
        if self.keeps:
            lines.append("    uint32_t step; /* of training: how many were done */")
        if self.counts_predictions:
            lines.append("    uint32_t predictions; /* how many were made: each draws other random numbers */")
        if len(lines) == 1:
            lines.append("    fnp_real values[1];")
        return "\n".join([*lines, "} fnp_memory;"])

    @property
    def keeps(self) -> bool:
        """Whether something in memory has to be set before the first call."""
        trains = any(function.name == "train" for function in self.export.functions)
        calls = (call for function in self.export.functions for call in function.step.calls)
        kept = any(self.sizes[kind] for kind in ("weight", "slot", "state"))
        return trains or kept or self.counts_predictions or any("memory->step" in call.arguments for call in calls)

    @property
    def counts_predictions(self) -> bool:
        """Whether predictions draw random numbers that are new in each."""
        return any(map(_counts, self.export.functions))

    def signature(self, function: Function) -> str:
        step = function.step
        trains = function.name == "train"
        parameters = [f"const {a.type} *{a.name}" for a in [*step.inputs, *step.targets, *step.sample_weights]]
        parameters += [f"{a.type} *{a.name}" for a in step.outputs]
        if trains:
            parameters.append("fnp_real learning_rate")
        parameters.append("fnp_memory *memory")
        return f"{'fnp_real' if trains else 'void'} fnp_{function.name}({', '.join(parameters)})"

    def statement(self, call: Call) -> str:
        if not call.function:
            return f"    {''.join(map(self.argument, call.arguments))}"
        return f"    {call.function}({', '.join(map(self.argument, call.arguments))});"

    def body(self, function: Function) -> str:
        step = function.step
        trains = function.name == "train"
        calls, cleared = [], False
        for i, call in enumerate(step.calls):
            if step.loop and i == step.loop[0]:
                calls.append(f"    for (k = 0; k < {step.loop[1]}; k++) {{")
            if not cleared and any(isinstance(a, Array) and a.kind == "gradient" for a in call.arguments):
                cleared = True
                calls.append("    memset(memory->gradients, 0, sizeof memory->gradients);")
            indent = "    " if step.loop and i >= step.loop[0] else ""
            calls.append(indent + self.statement(call))
        text = "\n".join(calls)
        lines = []
        if trains:
            lines.append("    fnp_real loss = 0;")
        if step.loop:
            lines.append("    fnp_int k;")
        lines += [*calls, "    }"] if step.loop else calls
        used = set(re.findall(r"\b\w+\b", text))
        names = [a.name for a in [*step.inputs, *step.targets, *step.sample_weights, *step.outputs]] + ["memory"]
        lines += [f"    (void){name};" for name in names if name not in used]
        if trains:
            lines += ["    (void)learning_rate;"] if "learning_rate" not in used else []
            lines += ["    memory->step++;", "    return loss;"]
        if _counts(function):
            lines.append(f"    {PREDICTIONS}++;")
        return f"{self.signature(function)}\n{{\n" + "\n".join(lines) + "\n}"

    def reset(self) -> str:
        lines = ["void fnp_reset(fnp_memory *memory)", "{"]
        if self.sizes["state"]:
            lines.append("    memset(memory->states, 0, sizeof memory->states);")
        fills: list[tuple[int, int, float]] = []  # (start, size, value) of slots, neighbours that are alike joined
        ours = [array for array in self.arrays if not array.members]
        for array in sorted(ours, key=lambda array: (array.kind, array.offset)):
            if array.kind == "slot" and _is_uniform(array):
                value, start = float(array.values[0]), array.offset // self.item("slot")
                if fills and fills[-1][2] == value and sum(fills[-1][:2]) == start:
                    fills[-1] = (fills[-1][0], fills[-1][1] + array.size, value)
                else:
                    fills.append((start, array.size, value))
            elif array.kind in ("weight", "slot"):
                table = f"fnp_{self.tables[array]}"
                lines.append(f"    memcpy({self.argument(array)}, {table}, sizeof {table});")
        for start, size, value in fills:
            place = f"memory->slots + {start}" if start else "memory->slots"
            lines.append(f"    fnp_fill({place}, {size}, {self.argument(value)});")
        if self.keeps:
            lines.append(f"    memory->step = {self.export.steps};")
        if self.counts_predictions:
            lines.append(f"    {PREDICTIONS} = 0;")
        return "\n".join([*lines, "}"])

    def constants(self) -> Iterable[str]:
        """The tables, of which several programs may have the same one."""
        for name, array in {name: array for array, name in self.tables.items()}.items():
            assert array.values is not None
            yield self.table(f"fnp_{name}", array.type, array.values)

    def self_test(self) -> str:
        predict = next((function for function in self.export.functions if function.name == "predict"), None)
        if predict is None or not self.export.tests:
            return ""
        lines = ["#ifdef FNP_SELFTEST"]
        for i, (inputs, outputs) in enumerate(self.export.tests):
            for kind, arrays in (("x", inputs), ("y", outputs)):
                for j, array in enumerate(arrays):
                    lines += [self.table(f"fnp_test_{kind}_{i}_{j}", "fnp_real", array.reshape(-1)), ""]
        sizes = [array.size for array in predict.step.outputs]
        total = sum(sizes)
        lines += [
            "int fnp_selftest(fnp_memory *memory)",
            "{",
            "    int different = 0;",
        ]
        for i in range(len(self.export.tests)):
            lines += ["    {", f"        fnp_real y[{total}];", "        int i;"]
            lines += ["        fnp_reset(memory);"] if self.keeps else []
            at, arguments = 0, [f"fnp_test_x_{i}_{j}" for j in range(len(predict.step.inputs))]
            for size in sizes:
                arguments.append(f"y + {at}" if at else "y")
                at += size
            lines.append(f"        fnp_predict({', '.join([*arguments, 'memory'])});")
            at = 0
            for j, size in enumerate(sizes):
                wanted = np.asarray(self.export.tests[i][1][j], np.float64)
                bound = self.export.tolerance * max(float(np.max(np.abs(wanted), initial=0.0)), 1e-30)
                bound_text = number(bound, self.export.bits)
                lines += [
                    f"        for (i = 0; i < {size}; i++) {{",
                    f"            const fnp_real error = y[{f'{at} + i' if at else 'i'}] - fnp_test_y_{i}_{j}[i];",
                    f"            different += !(error <= {bound_text} && error >= -{bound_text});",
                    "        }",
                ]
                at += size
            lines.append("    }")
        return "\n".join([*lines, "    return different;", "}", "#endif"])


def _counts(function: Function) -> bool:
    """Whether it counts the predictions."""
    return any(PREDICTIONS in call.arguments for call in function.step.calls)


def _size_macros(export: Export) -> str:
    """The sizes of what callers give, of one row each."""
    steps = {function.name: function.step for function in export.functions}
    sizes = {"Numbers of one row.": [*steps["predict"].inputs, *steps["predict"].outputs]}
    rows = {array: 1 for step in steps.values() for array in [*step.inputs, *step.outputs]}
    lines = []
    if "train" in steps:
        given = [*steps["train"].targets, *steps["train"].sample_weights]
        lines += ["/* Rows of a step of training. */", f"#define FNP_BATCH {export.batch}"]
        sizes["Numbers of targets and weights of one row."] = given
        rows.update(dict.fromkeys(given, export.batch))
    if "input_gradient" in steps:
        sizes["Numbers of the derivatives of all outputs."] = steps["input_gradient"].outputs
    for text, arrays in sizes.items():
        lines += [f"/* {text} */"] if arrays else []
        lines += [f"#define FNP_{array.name.upper()}_SIZE {array.size // rows[array]}" for array in arrays]
    return "\n".join(lines)


def write_files(export: Export, header_name: str | None) -> tuple[str, str | None, dict[str, int]]:
    """The text of the C file, that of its header where it has a name, and the sizes in bytes of what it holds."""
    writer = _Writer(export)
    texts = [*map(writer.body, export.functions), *([writer.reset()] if writer.keeps else [])]
    used = set(re.findall(r"\b(?:fnp|FNP)_\w+", "\n".join(texts)))
    blocks = export.library.closure(name for name in used if name in export.library)
    base = [export.library.blocks[name] for name in ("fnp_real", "fnp_int")]
    public = [*(block.text for block in base), _size_macros(export), writer.memory_type()]
    for function in export.functions:
        public.append(f"/* {function.comment} */\n{writer.signature(function)};")
    if writer.keeps:
        public.append(
            "/* Sets what is kept in memory to the state at export: to be called before the others, and to begin anew. */\n"
            "void fnp_reset(fnp_memory *memory);"
        )
    self_test = writer.self_test()
    if self_test:
        public.append(
            "#ifdef FNP_SELFTEST\n/* Predicts stored inputs; returns how many outputs differ by more than the tolerance. */\n"
            "int fnp_selftest(fnp_memory *memory);\n#endif"
        )
    rest = [block.text for block in blocks if block not in base]
    includes = ["#include <stdint.h>", "#include <string.h>"] + (["#include <math.h>"] if export.libm else [])
    title = "/* " + "\n * ".join(map(comment, export.title)) + "\n */"
    definitions = [*rest, *writer.constants(), *texts]
    if self_test:
        definitions.append(self_test)
    guard = f"{export.prefix.upper()}_H"

    def rename(text: str) -> str:
        if text.startswith("static const"):  # a table, of which there may be much: its name is in the first line
            first, _, rest = text.partition("\n")
            return f"{_rename(first, export.prefix)}\n{rest}"
        return _break_lines(_rename(text, export.prefix))

    header = None
    if header_name is not None:
        wrapped = ['#ifdef __cplusplus\nextern "C" {\n#endif', *public, "#ifdef __cplusplus\n}\n#endif"]
        body = [f"#ifndef {guard}\n#define {guard}", "#include <stdint.h>", *wrapped, "#endif"]
        header = "\n\n".join([title, *map(rename, body)]) + "\n"
        head = ["\n".join([f'#include "{header_name}"', *includes])]
        source = definitions
    else:
        head = ["\n".join(includes)]
        source = [*public, *definitions]
    tables = [a for a in writer.arrays if a.kind in ("constant", "weight") and not a.members]
    memory = sum(writer.sizes.values()) + 4 * (writer.keeps + writer.counts_predictions)
    item = max((writer.item(kind) for kind, size in writer.sizes.items() if size), default=export.bits // 8)
    sizes = {
        "weights": sum(array.bytes(export.bits) for array in tables),
        "memory": max(memory + -memory % item, item),  # as sizeof: nothing is empty, and doubles are aligned
    }
    text = "\n\n".join([title, *head, *map(rename, source)]) + "\n"
    return text, header, sizes
