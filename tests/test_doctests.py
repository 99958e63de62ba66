"""The examples in the docstrings of the installed package, and in the README, do what they say."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

import fastnet

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = ["fastnet"] + [
    module.name
    for module in pkgutil.walk_packages(fastnet.__path__, "fastnet.")
    if not module.name.endswith(("__main__", "._core"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module(name):
    """Every ``>>>`` of a module gives what stands below it."""
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert failed == 0


def test_some_modules_have_examples():
    """The search above does find examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert found > 20


def test_readme_example(tmp_path, monkeypatch, capsys):
    """The README's Python runs as it stands."""
    monkeypatch.chdir(tmp_path)
    readme = pathlib.Path(__file__).parent.parent / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert blocks
    exec(compile(blocks[0], "README.md", "exec"), {})
    assert capsys.readouterr().out
