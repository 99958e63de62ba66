"""The type stubs of the engine name what the module has: the same functions, parameters and docstrings."""

import ast
import inspect
import pathlib

import pytest

import fastnet
from fastnet import _core

STUBS = ast.parse((pathlib.Path(fastnet.__file__).parent / "_core.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUBS.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in STUBS.body if isinstance(node, ast.ClassDef)}
METHODS = {(name, node.name): node for name, stub in CLASSES.items() for node in stub.body
           if isinstance(node, ast.FunctionDef) and not any(isinstance(mark, ast.Attribute) for mark in node.decorator_list)}  # fmt: skip


def parameter_names(node):
    arguments = node.args
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def first_line(text):
    return text.strip().splitlines()[0]


def is_property(node):
    return any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)


def test_all_names_have_a_stub():
    constants = {node.target.id for node in STUBS.body if isinstance(node, ast.AnnAssign)}
    found = {
        name for name, value in vars(_core).items() if not name.startswith("_") and (callable(value) or isinstance(value, int))
    }
    assert found == constants | set(FUNCTIONS) | set(CLASSES)
    public = {(name, method) for name in CLASSES for method in vars(getattr(_core, name)) if not method.startswith("_")}
    assert public == {(name, method) for name, method in METHODS if not method.startswith("_")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    function = getattr(_core, name)
    assert list(inspect.signature(function).parameters) == parameter_names(FUNCTIONS[name])
    assert first_line(ast.get_docstring(FUNCTIONS[name])) == first_line(function.__doc__)


@pytest.mark.parametrize("name, method", [key for key, node in METHODS.items() if not is_property(node)])
def test_method(name, method):
    function = inspect.getattr_static(getattr(_core, name), method)
    if method != "__init__":
        assert list(inspect.signature(function).parameters) == parameter_names(METHODS[name, method])
        assert first_line(ast.get_docstring(METHODS[name, method])) == first_line(function.__doc__)
