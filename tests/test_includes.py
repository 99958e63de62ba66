"""The headers of csrc/engine: each file includes what it uses, and nothing else."""

import pathlib
import re

import pytest

ENGINE = pathlib.Path(__file__).parents[1] / "csrc" / "engine"
DECLARATIONS = [
    r"\b(fn_\w+)\s*\(",  # functions
    r"\}\s*(fn_\w+);",  # types
    r"struct (fn_\w+)\s*[{;]",
    r"typedef struct fn_\w+ (fn_\w+);",
    r"\bextern const fn_entry (fn_\w+)",
    r"#define\s+(\w+)",
    r"^\s+(FN_\w+)(?: = [^,]+)?,?$",  # enumerations
    r"\benum \w+ \{ ([^}]*) \}",
    r"\(\*(fn_\w+)\)",  # types of functions
    r"^\s+\w[\w ]*[ *](\w{4,})(?:\[\w*\])*;",  # members
]


def code_of(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r'#include "[^"]*"', "", text)


def declared_by(path):
    found = set()
    for pattern in DECLARATIONS:
        for names in re.findall(pattern, code_of(path), flags=re.M):
            found.update(re.findall(r"\w+", names))
    return found - {"bool", "int", "void"}


@pytest.mark.parametrize("path", sorted(ENGINE.glob("*.[ch]")), ids=lambda path: path.name)
def test_headers_are_used(path):
    words = set(re.findall(r"\w+", code_of(path)))
    for name in re.findall(r'#include "(\w+\.h)"', path.read_text(encoding="utf-8")):
        header = ENGINE / name
        if header.exists() and name != path.with_suffix(".h").name:
            assert words & declared_by(header), f"{path.name} uses nothing of {name}"


def test_an_unused_header_would_be_seen():
    words = set(re.findall(r"\w+", code_of(ENGINE / "measure.c")))
    assert not words & declared_by(ENGINE / "gather.h")
    assert declared_by(ENGINE / "tensor_parallel.h") >= {"fn_find_division", "fn_release_division"}
    assert {"fn_team", "fn_team_function", "fn_run_team"} <= declared_by(ENGINE / "team.h")


def test_few_files_know_that_networks_are_divided():
    """All others speak of tiles of a parameter, of peers and of strategies: a file more of these would be a second place to change."""
    words = re.compile(r"shard|tensor.?parallel|(row|column).?parallel", flags=re.I)
    files = [path for pattern in ("*.c", "*.h", "*.def") for path in ENGINE.parent.rglob(pattern)]
    known = {path.name for path in files if words.search(path.read_text(encoding="utf-8"))}
    assert {"tensor_parallel.c", "tensor_parallel.h"} <= known and len(known) <= 4, sorted(known)
