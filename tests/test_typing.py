"""What editors and type checkers are told: the arguments of every public constructor, by name, and their types.

`tools/check_types.py` asks mypy and pyright about the scripts in tests/typing.
"""

import inspect
import pathlib
import runpy
import typing

import pytest

import fastnet as fn
from fastnet._config import Configurable

MODULES = ("layers", "optimizers", "optimizers.pytorch", "losses", "metrics", "schedules", "callbacks", "initializers",
           "regularizers", "constraints", "activations", "tuning")  # fmt: skip

#: What hands its named arguments on to a function of the user's.
OF_FUNCTIONS = {"metrics.MeanMetricWrapper", "losses.LossFunctionWrapper"}

#: Spellings of older scripts, which are no arguments of the constructors.
OLD = {"input_shape", "batch_input_shape", "input_dim", "input_length", "dtype", "lr", "decay"}
OLD |= {"unroll", "use_cudnn", "weights"}  # of Keras, which are no part of a configuration


def public_classes():
    for path in MODULES:
        module = fn
        for name in path.split("."):
            module = getattr(module, name)
        for name in module.__all__:
            if inspect.isclass(cls := getattr(module, name)):
                yield f"{path}.{name}", cls
    yield from (("Model", fn.Model), ("Sequential", fn.Sequential), ("TrainStep", fn.TrainStep))


def takes_any_name(function):
    return hasattr(function, "__code__") and bool(function.__code__.co_flags & inspect.CO_VARKEYWORDS)


def own_arguments(function):
    code = function.__code__
    return set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


CLASSES = dict(public_classes())
DESCRIPTIONS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, Configurable)}
VARIABLE = {name: cls for name, cls in DESCRIPTIONS.items() if takes_any_name(cls.__init__) and name not in OF_FUNCTIONS}


def test_there_is_something_to_look_at():
    assert len(VARIABLE) > 80 and len(CLASSES) > 150


@pytest.mark.parametrize("name", VARIABLE)
def test_arguments_handed_on_have_names_and_types(name):
    """``**kwargs`` are what the constructors of the bases take and this one does not."""
    cls = VARIABLE[name]
    hints = typing.get_type_hints(cls.__init__)["kwargs"]
    assert hints is not typing.Any, "say which: **kwargs: Unpack[...], see _types.py"
    options = typing.get_type_hints(typing.get_args(hints)[0])
    assert set(options) - OLD == set(cls._arguments()) - own_arguments(cls.__init__) - OLD


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_help_shows_all_arguments(name):
    assert list(inspect.signature(CLASSES[name]).parameters) == list(CLASSES[name]._arguments())


def test_help_of_classes_and_of_objects():
    assert "units: int, activation: ActivationLike | None = None" in str(inspect.signature(fn.layers.Dense))
    assert list(inspect.signature(fn.layers.Dense(2)).parameters)[0] == "inputs"  # of calling it


def test_types_are_told_to_those_who_ask():
    assert (pathlib.Path(fn.__file__).parent / "py.typed").exists()


def test_the_users_script_runs(capsys):
    runpy.run_path(str(pathlib.Path(__file__).parent / "typing" / "users_script.py"))
    assert "hidden" in capsys.readouterr().out
