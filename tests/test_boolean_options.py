"""Options that are True or False: what else has a truth of its own, such as the text "no", is an error, wherever there is such an option."""

import inspect

import numpy as np
import pytest
from networks import rejects

import fastnet as fn
from fastnet._booleans import is_boolean

#: Not booleans, though all but the last three count as True.
WRONG = ["no", "False", 2, -1, 0.5, [False], np.array([True]), object(), None, "", []]
RIGHT = [True, False, np.True_, np.False_, 1, 0, np.int64(1), np.uint8(0), np.array(False)]

MODULES = [
    "layers", "optimizers", "optimizers.pytorch", "losses", "metrics", "callbacks", "initializers", "regularizers", "constraints",
    "schedules", "data", "utils", "distribution", "activations",
]  # fmt: skip


def parameters_of(cls):
    try:
        return inspect.signature(cls).parameters
    except ValueError:  # of a class that is a dictionary
        return {}


def classes():
    """Public classes whose constructors have such options, and their names, by what their signatures say."""
    found = {fn.GradientTape: "GradientTape"}
    for module in MODULES:
        owner = fn
        for part in module.split("."):
            owner = getattr(owner, part)
        for name in dir(owner):
            thing = getattr(owner, name)
            if isinstance(thing, type) and not name.startswith("_") and thing.__module__.startswith("fastnet"):
                found.setdefault(thing, name)
    return found


OPTIONS = [
    pytest.param(cls, name, id=f"{label}-{name}")
    for cls, label in classes().items()
    for name, parameter in parameters_of(cls).items()
    if str(parameter.annotation) == "bool"
]


def test_there_are_many():
    found = {(param.values[0].__name__, param.values[1]) for param in OPTIONS}
    assert len(OPTIONS) > 150
    assert {
        ("Dense", "use_bias"), ("LSTM", "return_sequences"), ("Adam", "amsgrad"), ("SGD", "nesterov"), ("EarlyStopping", "restore_best_weights"),
        ("BinaryCrossentropy", "from_logits"), ("Dense", "trainable"), ("CSVLogger", "append"),
        ("Dataset", "shuffle"), ("ModelCheckpoint", "save_best_only"),
    } <= found  # fmt: skip


@pytest.mark.parametrize("cls, name", OPTIONS)
def test_constructors(cls, name):
    """They are looked at before all else, so that nothing else has to be given here."""
    for value in WRONG:
        with pytest.raises(TypeError, match=f"{cls.__name__}: {name} must be True or False, got "):
            cls(**{name: value})
    for value in RIGHT:
        cls.__new__(cls, **{name: value})
    parameter = inspect.signature(cls).parameters[name]
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
        place = list(inspect.signature(cls).parameters).index(name)
        with pytest.raises(TypeError, match=f"{cls.__name__}: {name} must be True or False, got 'no'"):
            cls.__new__(cls, *[True] * place, "no")


def test_what_is_a_boolean():
    assert all(map(is_boolean, RIGHT)) and not any(map(is_boolean, WRONG))


def model():
    found = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    found.compile("adam", "mse")
    return found


X, Y = np.zeros((4, 3)), np.zeros((4, 2))


def step():
    net = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    found = fn.TrainStep(lambda x: {"net": (fn.ops.sum(net(x) ** 2, axis=1), net)}, [(3,)], seed=0)
    found.compile("adam")
    return found


#: What is called with one option more, by what has the signature.
CALLS = {
    "compile": lambda path, **option: model().compile("adam", "mse", **option),
    "fit": lambda path, **option: model().fit(X, Y, verbose=0, **option),
    "evaluate": lambda path, **option: model().evaluate(X, Y, **option),
    "predict": lambda path, **option: model().predict(X, **option),
    "train_on_batch": lambda path, **option: model().train_on_batch(X, Y, **option),
    "test_on_batch": lambda path, **option: model().test_on_batch(X, Y, **option),
    "forward": lambda path, **option: model().forward(X, **option),
    "summary": lambda path, **option: model().summary(print_fn=str, **option),
    "save": lambda path, **option: model().save(path / "a.safetensors", **option),
    "export": lambda path, **option: model().export(path / "a.c", **option),
}
STEP_CALLS = {
    "compile": lambda path, **option: step().compile("adam", **option),
    "fit": lambda path, **option: step().fit(X, verbose=0, **option),
    "evaluate": lambda path, **option: step().evaluate(X, **option),
    "train_on_batch": lambda path, **option: step().train_on_batch(X, **option),
    "test_on_batch": lambda path, **option: step().test_on_batch(X, **option),
}


def booleans_of(function):
    return [name for name, one in inspect.signature(function).parameters.items() if one.annotation in ("bool", bool)]


METHODS = [
    pytest.param(call, option, id=f"{kind.__name__}-{name}-{option}")
    for kind, calls in ((fn.Model, CALLS), (fn.TrainStep, STEP_CALLS))
    for name, call in calls.items()
    for option in booleans_of(getattr(kind, name))
]


@pytest.mark.parametrize("call, option", METHODS)
def test_methods(call, option, tmp_path):
    for value in WRONG:
        with pytest.raises(TypeError, match=f"{option} must be True or False, got "):
            call(tmp_path, **{option: value})
    assert not list(tmp_path.iterdir())
    for value in RIGHT:
        call(tmp_path, **{option: value})


def test_all_methods_of_models_are_here():
    """But for what users do not call, or of which Keras ignores what is given."""
    others = {"add_weight", "compute_loss"}
    found = {
        name for name, one in inspect.getmembers(fn.Model, inspect.isfunction) if not name.startswith("_") and booleans_of(one)
    }
    assert found - others == set(CALLS)


def test_files(tmp_path):
    model().save(tmp_path / "a.safetensors")
    for value in WRONG:
        with pytest.raises(TypeError, match="compile must be True or False"):
            fn.load_model(tmp_path / "a.safetensors", compile=value)
        with pytest.raises(TypeError, match="compile must be True or False"):
            fn.saving.from_keras("none.keras", compile=value)
    for value in RIGHT:
        assert fn.load_model(tmp_path / "a.safetensors", compile=value).compiled == bool(value)


def test_a_fit_that_is_refused_changes_nothing():
    found = model()
    with rejects(found, TypeError, "fit", "shuffle", "'batches'"):
        found.fit(X, Y, shuffle="batches", verbose=0)


def test_classes_of_users_say_for_themselves():
    class Own(fn.layers.Layer):
        def __init__(self, mode: bool = "fast", **options):
            super().__init__(**options)
            self.mode = mode

    assert Own("slow").mode == "slow"
    with pytest.raises(TypeError, match="trainable must be True or False"):
        Own(trainable="slow")

    class Batches(fn.data.PyDataset):
        def __init__(self, workers, use_multiprocessing):
            super().__init__()

    Batches("many", "some")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_estimators(kind):
    """By scikit-learn's own checks of parameters, which take no numbers."""
    sklearn = pytest.importorskip("sklearn")
    cls = getattr(fn.sklearn, kind)
    for name, default in cls().get_params().items():
        if isinstance(default, bool) and name != "verbose":
            for value in ("no", 2, None, [True]):
                with pytest.raises(sklearn.utils._param_validation.InvalidParameterError, match=name):
                    cls(**{name: value}, max_iter=1).fit(X + np.eye(4, 3), [0, 1, 0, 1])
            cls(**{name: np.bool_(default)}, max_iter=1, batch_size=2).fit(X + np.eye(4, 3), [0, 1, 0, 1])
