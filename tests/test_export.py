"""Models as C files: what they predict, and how they train, beside the models themselves."""

import pathlib
import re
import subprocess

import numpy as np
import pytest
from exports import C99, COMPILERS, compile_model, compile_text
from plans import assert_close

import fastnet as fn
from fastnet.exporting.export import describe_model


def digits_like(n=64, features=8, classes=3, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, features)), random.integers(0, classes, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_those_of_the_model(dtype):
    x, _ = digits_like()
    scaling = fn.layers.Normalization()
    scaling.adapt(x + 1)
    model = fn.Sequential([fn.Input((8,)), scaling, fn.layers.Dense(17), fn.layers.Dense(3)], seed=0, dtype=dtype)
    found = compile_model(model).predict(x)[0]
    assert_close(found, model.predict(x), 1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_takes_the_steps_of_the_model(dtype, batch_size):
    x, _ = digits_like()
    y = x[:, :3] @ np.ones((3, 3)) + x[:, 5:6]
    model = fn.Sequential([fn.Input((8,)), fn.layers.Dense(17), fn.layers.Dense(3)], seed=0, dtype=dtype)
    model.compile(fn.optimizers.SGD(0.01), "mse")
    compiled = compile_model(model, training=True, batch_size=batch_size)
    for step in range(100):
        rows = np.arange(step * batch_size, (step + 1) * batch_size) % len(x)
        expected = model.train_on_batch(x[rows], y[rows])
        found = compiled.train([x[rows]], [y[rows]], learning_rate=0.01)
        assert_close(found, expected, 1e-4 if dtype == "float32" else 1e-11, f"loss of step {step}")
    assert_close(compiled.predict(x)[0], model.predict(x), 1e-5 if dtype == "float32" else 1e-12)


def test_the_self_test_finds_a_wrong_weight(tmp_path):
    model = fn.Sequential([fn.Input((8,)), fn.layers.Dense(3)], seed=0)
    exported = model.export(tmp_path / "net.c")
    text = exported.paths[0].read_text()
    assert compile_text(text, flags=["-DNET_SELFTEST"]).net_selftest(bytes(exported.memory)) == 0
    start = text.index("net_dense_kernel[24] = {\n") + len("net_dense_kernel[24] = {\n")
    wrong = text[:start] + "    9.5f," + text[text.index(",", start) + 1 :]
    assert compile_text(wrong, flags=["-DNET_SELFTEST"]).net_selftest(bytes(exported.memory)) > 0


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("net.txt", {}, ("must end with .c", "net.txt")),
        ("net.c", {"name": "3"}, ("identifier of C", "'3'")),
        ("net.c", {"name": "while"}, ("identifier of C", "'while'")),
        ("net.c", {"batch_size": 0}, ("batch_size must be a positive integer", "0")),
    ],
)
def test_what_is_no_path_or_name(tmp_path, path, options, words):
    model = fn.Sequential([fn.Input((8,)), fn.layers.Dense(3)], seed=0)
    with pytest.raises(ValueError) as caught:
        model.export(tmp_path / path, **options)
    assert all(word in str(caught.value) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_a_python_function_is_refused(tmp_path):
    model = fn.Sequential([fn.Input((8,)), fn.layers.Dense(3)], seed=0)
    model.compile("sgd", lambda t, p: (0.0, np.zeros_like(p)))
    with pytest.raises(NotImplementedError, match="Python function"):
        model.export(tmp_path / "net.c", training=True)
    assert describe_model(model, False).optimizer is None
    assert list(tmp_path.iterdir()) == []


def test_the_program_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (pathlib.Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")
    python, program = (re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1] for language in ("python", "c"))
    exec(compile(python, "docs/export.md", "exec"), {})  # the page's own code
    (tmp_path / "main.c").write_text(program)
    for compiler in COMPILERS:
        subprocess.run([compiler, *C99, "main.c", "digits.c", "-o", "digits"], check=True)
        assert subprocess.run(["./digits"], check=True, capture_output=True, text=True).stdout == "1\n"
