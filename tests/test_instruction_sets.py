"""An instruction set is a header in csrc/kernels/isa, a line in CMakeLists.txt and its detection: nothing else knows any."""

import pathlib
import re

import pytest
from cases import VECTOR_BYTES

from fastnet import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "csrc" / "kernels"
HEADERS = sorted((KERNELS / "isa").glob("*.h"))
#: Names of instruction sets, what intrinsics are called, and tests of what the code is compiled for.
NAMES = re.compile(
    r"avx|neon|\bsse|\b_mm\d*_|\b__m(?:mask)?\d|immintrin|\bv(?:ld|st|fma|zip)\w+_f\d\d|FN_ISA_BASELINE|FN_TARGET_IS"
    r"|__FMA|__ARM|FN_VECTOR_BYTES\s*[=!<>]",
    re.IGNORECASE,
)
FAMILIES = re.compile(r"\b_*(?:x86|i[36]86|amd64|aarch64|arm)\w*\b|__builtin_(?:ia32|cpu)", re.IGNORECASE)


def lines_with(pattern, allowed=()):
    return [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "csrc").rglob("*"))
        if path.suffix in (".c", ".h", ".def") and KERNELS / "isa" not in path.parents and path.name not in allowed
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line)
    ]


def test_no_other_file_names_an_instruction_set():
    assert lines_with(NAMES, ["cpu.c"]) == []


def test_families_of_processors_are_told_apart_in_two_files():
    assert lines_with(FAMILIES, ["cpu.c", "processor.h"]) == []
    assert lines_with(FAMILIES)  # what is looked for is what stands there


def test_headers_are_those_of_the_list():
    """And the engine knows them by its order, which is that of the numbers."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    names = re.findall(r'"(\w+):', re.search(r"set\(instruction_sets\n(.*?)\)", text, re.DOTALL)[1])
    assert sorted(names) == [path.stem for path in HEADERS]
    with pytest.raises(ValueError, match=f"known: {', '.join(names)}$"):
        _core.select_isa("abacus")
    assert _core.available_isas() == [name for name in names if name in _core.available_isas()]


def test_what_an_instruction_set_is_compiled_for_is_there():
    """The lists of CMakeLists.txt name instruction sets, and files or folders of csrc/kernels, once each."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = re.findall(r"^set\((?:only|without)_(\w+)_f(?:32|64) (.*?)\)", text, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in lists} <= {path.stem for path in HEADERS} and len(lists) > 1
    for _, names in lists:
        names = names.replace('""', "").split()
        assert [name for name in names if not ((KERNELS / name).is_dir() or (KERNELS / f"{name}.c").is_file())] == []
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.stem)
def test_a_header_says_all_that_is_asked(path):
    """The numbers that isa.h lists, which the preprocessor would take for 0, the constraint, where there is one, and the operations that vector.h lists."""
    asked = set(
        re.findall(r"FN_[A-Z]\w+", re.search(r"two halves.*?\n \* Kernels", (KERNELS / "isa.h").read_text(), re.DOTALL)[0])
    )
    text = path.read_text(encoding="utf-8")
    facts, operations = text.split("\n#else /* ----")
    optional = {"FN_VECTOR_CONSTRAINT"}
    assert optional < asked
    assert set(re.findall(r'#define (\w+) (?:\d+|"\w")$', facts, re.MULTILINE)) | optional == asked
    for name in re.findall(r'#include "(shared/\w+\.h)"', operations):
        operations += (KERNELS / "isa" / name).read_text(encoding="utf-8")
    listed = re.search(r"The operations of the instruction set:(.*?)\*/", (KERNELS / "vector.h").read_text(), re.DOTALL)[1]
    listed = set(re.findall(r"^ \*   (\w+) ", listed, re.MULTILINE)) - {"interleave_low"} | {"interleave_low", "store_masked"}
    defined = set(re.findall(r"^FN_INLINE [\w ]+?(\w+)\(", operations, re.MULTILINE)) - {"interleave_high"}
    assert defined == listed
    assert int(re.search(r"FN_BLOCK_ROWS (\d+)", facts)[1]) % int(re.search(r"FN_TILE_ROWS (\d+)", facts)[1]) == 0
    assert VECTOR_BYTES[path.stem] in (16, 32, 64)
