"""What docs/extending.md adds to fastnet: its C is built with a part of the kernels that there are, its classes use it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from fastnet import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
#: What a step of the page puts where: "**1. `csrc/...c`**" and the first block of C after it.
FILES = {}
for step in re.split(r"^(?=\*\*\d\. |#+ )", PAGE, flags=re.MULTILINE):
    name, code = re.match(r"\*\*1\. `(csrc/\S+\.c)`", step), re.search(r"```c\n(.*?)```", step, re.DOTALL)
    if name and code:
        FILES[name.group(1)] = code.group(1)
#: The kernels that are built beside those, by their folders; to build all would take minutes.
KEPT = {
    "ops": {"dense", "activation", "reshape"},
    "losses": {"mean_squared_error"},
    "metrics": {"mean_squared_error"},
    "optim": {"sgd"},
}
INSTRUCTION_SET = re.search(r"^## An instruction set\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)[1]
CYTHON = shutil.which("cython", path=os.pathsep.join([os.environ.get("PATH", ""), str(pathlib.Path(sys.executable).parent)]))

#: Run with the module that has been built, after the Python of the page.
USES = """
random = np.random.default_rng(0)
x, y = random.normal(size=(37, 5)), random.normal(size=(37, 3))
signs, counts = random.integers(0, 2, (37, 3)), random.uniform(0, 4, (37, 3))


def network(dtype, *layers):
    return fn.Sequential([fn.Input((5,)), *layers], seed=0, dtype=dtype)


for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
    # The optimizer: some steps, around which decay and averages work as ever.
    model = network(dtype, fn.layers.Dense(3, use_bias=False))
    optimizer = Signum(0.01, 0.8)
    model.compile(optimizer, "mse")
    w, slots = model.get_weights()[0].astype(float), {"momentum": np.zeros((5, 3))}
    for step in range(8):
        model.train_on_batch(x, y)
        w, slots = signum(w, 2 * x.T @ (x @ w - y) / y.size, slots, {"learning_rate": 0.01, "beta": 0.8}, step)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=tolerance, atol=tolerance)
    model.compile(Signum(weight_decay=0.1, use_ema=True, gradient_accumulation_steps=2, clipnorm=1.0), "mse")
    model.fit(x, y, epochs=2, verbose=0)

    # The operation: of 2 threads, with a gradient that is added to another.
    given = fn.Input((5,))
    hidden = fn.layers.Dense(4)(given)
    model = fn.Model(given, [Square()(hidden), Square()(hidden)], seed=0, dtype=dtype)
    model.compile("sgd", ["mse", "mse"], n_threads=2)
    outputs = model.forward(x, training=True)
    plain = x @ model.get_weights()[0]
    for output in outputs:
        np.testing.assert_allclose(output, plain**2, rtol=tolerance, atol=tolerance)
    model.backward([np.ones_like(outputs[0]), 2 * np.ones_like(outputs[1])])
    kernel = model.trainable_weights[0]
    np.testing.assert_allclose(kernel.gradient, x.T @ (6 * plain), rtol=10 * tolerance, atol=10 * tolerance)

    # The loss and its derivative, and the metric: alone, and of a model.
    prediction = random.normal(size=(37, 3)).astype(dtype)
    value, gradient = fn._core.evaluate_loss("cubic_hinge", {}, signs, prediction)
    np.testing.assert_allclose(value, cubic_hinge(signs, prediction.astype(float)).mean(), rtol=tolerance)
    expected = cubic_hinge_derivative(signs, prediction.astype(float)) / prediction.size
    np.testing.assert_allclose(gradient, expected, rtol=10 * tolerance, atol=tolerance)
    model = network(dtype, fn.layers.Dense(3, "softplus"))
    model.compile("sgd", CubicHinge(), metrics=[MeanRootError("roots")])
    found = model.evaluate(x, counts, return_dict=True)
    predicted = model.predict(x).astype(float)
    np.testing.assert_allclose(found["loss"], cubic_hinge(counts, predicted).mean(), rtol=tolerance)
    expected = np.sqrt(np.abs(predicted - counts)).mean()
    np.testing.assert_allclose(found["roots"], expected, rtol=10 * tolerance)
    np.testing.assert_allclose(MeanRootError()(counts, predicted), expected, rtol=10 * tolerance)
print("used")
"""


def test_every_kind_has_an_example():
    assert set(KEPT) <= {pathlib.Path(name).parent.name for name in FILES}
    assert not [name for name in FILES if (ROOT / name).exists()]


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def add_instruction_set(root):
    """The header, the line and the function of the page, put where it says; returns its name."""
    header, detection = re.findall(r"```c\n(.*?)```", INSTRUCTION_SET, re.DOTALL)
    line = re.search(r"```cmake\n(.*?)```", INSTRUCTION_SET, re.DOTALL)[1]
    name = re.search(r"`csrc/kernels/isa/(\w+)\.h`", INSTRUCTION_SET)[1]
    assert f'"{name}:' in line and f" has_{name}(" in detection
    (root / "csrc" / "kernels" / "isa" / f"{name}.h").write_text(header, encoding="utf-8")
    for file, before, text in (("CMakeLists.txt", '    "avx2:', line), ("csrc/engine/cpu.c", "#undef SUPPORTS", detection)):
        before_it, found, after_it = (root / file).read_text(encoding="utf-8").partition(before)
        assert found
        (root / file).write_text(before_it + text + found + after_it, encoding="utf-8")
    return name


@pytest.mark.skipif(not (CYTHON and shutil.which("cmake")), reason="no cmake or no Cython")
def test_examples_of_the_page_work(tmp_path):
    """One C file and one class each, put where the page says: CMake finds them, nothing else is changed. On x86 all of it is compiled
    for the instruction set of the page alone."""
    for folder in ("csrc", "src/fastnet"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    for folder, kept in KEPT.items():
        for file in (tmp_path / "csrc" / "kernels" / folder).glob("*.c"):
            if file.stem not in kept:
                file.unlink()
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    isa = add_instruction_set(tmp_path) if "avx2" in _core.available_isas() else _core.available_isas()[-1]
    options = [f"-DFASTNET_ISAS={isa}", "-DSKBUILD=ON", f"-DPython_EXECUTABLE={sys.executable}", f"-DCYTHON={CYTHON}"]
    options += ["-DFASTNET_OPTIMIZATION=-O1"] + (["-G", "Ninja"] if shutil.which("ninja") else [])
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", *options)
    run("cmake", "--build", tmp_path / "build", "--parallel", "2", "--target", "_core")
    for module in (tmp_path / "build").glob("_core*.so"):
        shutil.copy(module, tmp_path / "src" / "fastnet")
    page = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "use.py").write_text(page + USES, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "FASTNET_ISA": isa}
    assert run(sys.executable, tmp_path / "use.py", cwd=tmp_path, env=environment) == "used\n"
