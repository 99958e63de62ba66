"""Modules import each other in one direction, and are short enough to have one subject.

Every import counts: those within functions and those for types alone, which hide a circle from Python but not from a reader.
"""

import ast
import importlib.util
import pathlib
import textwrap

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "src" / "fastnet"

#: A model saves itself, and what reads a file makes a model: the one circle there is.
FACADE = {
    "fastnet.model", "fastnet.onnx.reading", "fastnet.saving", "fastnet.saving.building", "fastnet.saving.files", "fastnet.saving.keras_models",
    "fastnet.saving.pickling", "fastnet.saving.pytorch_weights",
}  # fmt: skip

#: Lines of a module, at most.
LONGEST = 500


def modules_of(folder):
    """By the name of a module of a package: its file."""
    found = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.pyx")]):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name, modules):
    """The modules of the package that one of them names in an import, wherever that is; packages around these not counted."""
    if modules[name].suffix == ".pyx":  # the engine: below all else
        return set()
    within = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(modules[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, within) if node.level else relative
            submodules = {f"{base}.{alias.name}" for alias in node.names} & modules.keys()
            found |= submodules
            if len(submodules) < len(node.names):  # something that the module itself has
                found.add(base)
    return (found & modules.keys()) - {name}


def circles_in(folder):
    """The sets of modules each of which leads to all the others of its set by imports."""
    modules = modules_of(folder)
    reached = {name: imports_of(name, modules) for name in modules}
    grown = True
    while grown:
        grown = False
        for name, found in reached.items():
            more = found.union(*(reached[other] for other in found))
            if len(more) > len(found):
                reached[name], grown = more, True
    return {frozenset(other for other in found if name in reached[other]) for name, found in reached.items() if name in found}


@pytest.mark.parametrize(
    "back",
    [
        "from .first import a",
        "from . import first",
        "import package.first",
        "from package import first",
        "from package.first import a",
        "def f():\n    from .first import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .first import a",
        "from .inner import b",
    ],
)
def test_circles_are_found(back, tmp_path):
    sources = {
        "__init__": "from .first import a\nfrom .alone import c",
        "first": "from .second import b",
        "second": back,
        "alone": "from . import first",
        "inner/__init__": "",
        "inner/deep": "from ..second import b",
    }
    if "inner" in back:
        sources["inner/__init__"] = "from ..first import a"
    for name, source in sources.items():
        path = tmp_path / "package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    found = circles_in(tmp_path / "package")
    expected = {"package.first", "package.second", *(["package.inner"] if "inner" in back else [])}
    assert found == {frozenset(expected)}


def test_modules_import_in_one_direction():
    circles = circles_in(PACKAGE)
    assert [sorted(circle) for circle in circles if not circle <= FACADE] == []
    assert set().union(*circles) == FACADE  # who is out of the circle leaves the list


def test_modules_have_one_subject():
    lengths = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
