"""Random models as C files, beside the models: 200 that predict, 60 that train, and 20 on other processors."""

import functools
import shutil
import subprocess

import numpy as np
import pytest
from cases import how_many
from exports import C99, COMPILERS, compile_model
from plans import assert_close
from random_models import random_model

from fastnet.exporting.export import write_model

DTYPES = ["float32", "float64"]
#: Debian's cross-compilers, and what runs their programs. s390x has the other order of bytes.
PROCESSORS = {
    "aarch64": ("aarch64-linux-gnu", "qemu-aarch64"),
    "arm": ("arm-linux-gnueabihf", "qemu-arm"),
    "riscv64": ("riscv64-linux-gnu", "qemu-riscv64"),
    "s390x": ("s390x-linux-gnu", "qemu-s390x"),
}


@pytest.mark.parametrize("seed", range(how_many(200)))
def test_predictions(seed):
    dtype = DTYPES[seed // 4 % 2]
    model, x, y = random_model(seed, dtype)
    model.fit(x, y, batch_size=6, verbose=0)  # so that moving statistics are not those of the start
    expected = model.predict(x)
    found = compile_model(model, compiler=COMPILERS[seed % len(COMPILERS)], apart=seed % 2 == 1).predict(x)[0]
    assert_close(found.reshape(expected.shape), expected, 2e-5 if dtype == "float32" else 1e-11, f"seed {seed}", floor=1)


@pytest.mark.parametrize("seed", range(how_many(60)))
def test_training(seed):
    dtype = DTYPES[seed // 4 % 2]
    model, x, y = random_model(seed, dtype)
    batch = (1, 4, 12)[seed % 3]
    compiled = compile_model(
        model, training=True, batch_size=batch, compiler=COMPILERS[seed % len(COMPILERS)], apart=seed % 2 == 1
    )
    tolerance = 2e-3 if dtype == "float32" else 1e-9
    for step in range(10):
        rows = np.arange(step * batch, (step + 1) * batch) % len(x)
        expected = model.train_on_batch(x[rows], y[rows])
        found = compiled.train([x[rows]], [y[rows]], learning_rate=float(model.optimizer.learning_rate))
        assert_close(found, expected, tolerance, f"seed {seed}: loss of step {step}", floor=1)
    expected = model.predict(x)
    assert_close(compiled.predict(x)[0].reshape(expected.shape), expected, tolerance, f"seed {seed}", floor=1)


def c_array(name, array):
    kind = "int32_t" if array.dtype.kind == "i" else "net_real"
    numbers = ", ".join(str(int(v)) if array.dtype.kind == "i" else repr(float(v)) for v in array.reshape(-1))
    return f"static const {kind} {name}[] = {{{numbers}}};"


@functools.cache
def program_of(seed, dtype):
    """A C program that trains a random model for 5 steps and prints losses and predictions."""
    model, x, y = random_model(seed, dtype)
    text = write_model(model, "net", training=True, batch_size=len(x)).source
    labels = y.dtype.kind == "i" and y.ndim == 1
    target = c_array("y", y.astype(np.int32) if labels else y.astype(dtype))
    rate, size, outputs = float(model.optimizer.learning_rate), x[0].size, model.outputs[0].sample_shape[-1]
    return f"""#include <stdio.h>
{text}
{c_array("x", x.astype(dtype))}
{target}
static net_memory memory;
int main(void)
{{
    int i, j;
    net_real z[{outputs}];
    net_reset(&memory);
    for (i = 0; i < 5; i++)
        printf("%.17g\\n", (double)net_train(x, y, 0, (net_real){rate!r}, &memory));
    for (i = 0; i < {len(x)}; i++) {{
        net_predict(x + i * {size}, z, &memory);
        for (j = 0; j < {outputs}; j++)
            printf("%.17g\\n", (double)z[j]);
    }}
    return 0;
}}
"""


def run_program(folder, compiler, runner=()):
    command = [compiler, *C99, "-O2", "-ffp-contract=off", "-static", "main.c", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return np.array(
        subprocess.run([*runner, "./main"], cwd=folder, check=True, capture_output=True, text=True).stdout.split(), float
    )


def test_no_undefined_behaviour(tmp_path):
    """Training and predictions under the sanitizers."""
    compilers = [one for one in COMPILERS if one != "tcc"]
    for seed in range(how_many(4)):
        (tmp_path / "main.c").write_text(program_of(seed, DTYPES[seed % 2]))
        command = [
            compilers[seed // 2 % len(compilers)],
            *C99,
            "-O1",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
        ]
        subprocess.run([*command, "main.c", "-o", "main"], cwd=tmp_path, check=True)
        subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True)


@pytest.fixture(scope="module")
def expected_of(tmp_path_factory):
    """What this processor computes, by seed and precision."""
    folder = tmp_path_factory.mktemp("expected")

    @functools.cache
    def expected_of(seed, dtype):
        (folder / "main.c").write_text(program_of(seed, dtype))
        return run_program(folder, "gcc")

    return expected_of


@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_processors_give_the_same_numbers(processor, expected_of, tmp_path):
    triplet, runner = PROCESSORS[processor]
    if not (shutil.which(f"{triplet}-gcc") and shutil.which(runner)):
        pytest.skip(f"there is no {triplet}-gcc or no {runner}")
    for seed in range(how_many(20)):
        dtype = DTYPES[seed % 2]
        (tmp_path / "main.c").write_text(program_of(seed, dtype))
        expected = expected_of(seed, dtype)
        found = run_program(tmp_path, f"{triplet}-gcc", (runner,))
        assert_close(found, expected, 1e-6 if dtype == "float32" else 1e-13, f"seed {seed} on {processor}", floor=1)
