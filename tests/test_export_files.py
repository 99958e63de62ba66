"""Files of exported models as strangers meet them: their names, their bytes, what is written where something is wrong."""

import contextlib
import hashlib
import re
import subprocess

import numpy as np
import pytest
from exports import C99, COMPILERS, WARNINGS, Compiled, arrays_apart, compile_model, compile_text
from plans import assert_close

import fastnet as fn
from fastnet.exporting._library import load_library
from fastnet.exporting._names import WORDS
from fastnet.exporting.export import write_model

#: Names that C, C++, their headers, the file itself or its macros have already, and such as are equal but for capitals.
NAMES = [
    *sorted(WORDS), "memory", "loss", "k", "learning_rate", "jacobian", "y", "y_target", "y_weight", "x", "X", "fnp_zero", "net_zero",
    "net_real", "FNP_R", "NET_BATCH", "int32_t", "uint8_t", "size_t", "memcpy", "memset", "errno", "stderr", "NULL", "INT32_MAX",
    "UINT64_C", "linux", "unix", "main", "I", "EOF", "__x", "_X", "é", "è", "a b", "a-b", "1", "jacobian_x", "mask", "scale",
]  # fmt: skip


def small_model(seed=0, **more):
    return fn.Sequential([fn.Input((8,)), fn.layers.Dense(3, **more)], seed=seed)


@pytest.mark.parametrize("chunk", range(-(-len(NAMES) // 15)))
def test_inputs_and_outputs_of_any_name(chunk):
    names = NAMES[15 * chunk : 15 * chunk + 15]
    inputs = [fn.Input((1 + i % 2,), name=name) for i, name in enumerate(names)]
    scaling = fn.layers.Normalization(mean=[0.5], variance=[4.0])
    scaled = [scaling(one) if one.sample_shape == (1,) else one for one in inputs]
    h = fn.layers.Concatenate()(scaled)
    outputs = [
        fn.layers.Dense(1 + i % 2, name=f"{name}{'_' * (i % 2)}")(h) for i, name in enumerate([*names[::4], "y", "Y", "x_target"])
    ]
    model = fn.Model(inputs, outputs, seed=0)
    model.compile("adam", "mse")
    written = write_model(model, "net", training=True, gradient=True)
    compiled = Compiled(written.source, written.functions, "net", "float32", written.memory)
    x = [np.random.default_rng(i).normal(size=(2, *one.sample_shape)) for i, one in enumerate(inputs)]
    for found, expected in zip(compiled.predict(*x), model.predict(x), strict=True):
        assert_close(found, expected, 1e-5)
    for compiler in COMPILERS[:1]:  # in the dialect that is the compiler's own, too: it has more words
        compile_text(written.source, compiler, flags=["-std=gnu99", "-O0"])
        compile_text(written.source, compiler, flags=["-std=gnu++20", "-O0", "-lstdc++"], suffix=".cpp")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "name", ["dense", "zero", "fill", "predict", "reset", "memory", "update_adam", "test_x_0_0", "softmax", "r"]
)
def test_weights_and_tables_have_names_that_functions_do_not_have(name, training):
    x = fn.Input((3,))
    model = fn.Sequential([x, fn.layers.Dense(4, name=name), fn.layers.Dense(2, "softmax")], name=name, seed=0)
    model.compile("adam", "mse")
    model.fit(np.eye(3), np.eye(3)[:, :2], verbose=0)  # so that slots have tables
    names = [weight.name for weight in model.weights]
    try:
        for weight in model.weights:
            weight.name = {"kernel": "", "bias": "backward"}[weight.name]  # as weights of layers to come may be called
        found = compile_model(model, training=training).predict(np.eye(3))[0]
    finally:
        for weight, one in zip(model.weights, names):
            weight.name = one
    assert_close(found, model.predict(np.eye(3)), 1e-5)


@pytest.mark.parametrize("name", ["*/ int", "/*", "??/", "\\", "ü", "a\nb", "fnp_net"])
def test_a_model_of_any_name(tmp_path, name):
    model = fn.Sequential([fn.Input((8,)), fn.layers.Dense(3, name=name + " dense")], seed=0, name=name)
    exported = model.export(tmp_path / "nét.c", header=True, name="net")
    assert [path.name for path in exported.paths] == ["nét.c", "nét.h"]
    for compiler in COMPILERS:
        command = [compiler, *C99, "-DNET_SELFTEST", "-c", "nét.c", "-o", "net.o"]
        subprocess.run(command, cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("path", "options", "error", "words"),
    [
        ("2026.c", {}, ValueError, ("'2026.c'", "give name=")),
        ("int.c", {}, ValueError, ("'int.c'", "give name=")),
        ("net.c", {"name": 5}, TypeError, ("name must be a str", "5")),
        ("net.c", {"name": "int32"}, ValueError, ("identifier of C", "int32")),
        ("net.c", {"batch_size": 2.5, "training": True}, TypeError, ("batch_size", "2.5")),
        ("net.c", {"batch_size": "4", "training": True}, TypeError, ("batch_size", "'4'")),
        ("net.c", {"batch_size": 4}, ValueError, ("batch_size", "training=True", "4")),
        ("net.c", {"batch_size": 10**9, "training": True}, ValueError, ("smaller batch_size", "2147483647")),
        ('a"b.c', {"header": True}, ValueError, ("#include", "'a\"b.c'")),
    ],
)
def test_wrong_arguments_leave_no_file(tmp_path, path, options, error, words):
    model = small_model()
    model.compile("adam", "mse")
    with pytest.raises(error) as caught:
        model.export(tmp_path / path, **options)
    assert all(word in str(caught.value) for word in words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["loss", "memory", "k", "x", "y", "learning_rate"])
def test_names_of_variables_may_be_that_of_the_file(tmp_path, name):
    exported = small_model().export(tmp_path / f"{name}.c")
    compile_text(exported.paths[0].read_text())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("training", [False, True])
def test_weights_that_are_not_finite_are_named(tmp_path, value, training):
    model = small_model(name="last")
    model.compile("adam", "mse")
    model.layers[-1].kernel[...] = value
    with pytest.raises(ValueError, match="'last/kernel'.*not finite"):
        model.export(tmp_path / "net.c", training=training)
    assert list(tmp_path.iterdir()) == []


def test_attributes_beyond_float32_are_named(tmp_path):
    model = fn.Sequential([fn.Input((8,)), fn.layers.LeakyReLU(1e300, name="steep")])
    with pytest.raises(ValueError, match="'steep'.*1e\\+300"):
        model.export(tmp_path / "net.c")


def test_normalization_stays_apart_where_weights_would_overflow():
    model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(3), fn.layers.BatchNormalization(epsilon=1e-30)])
    model.layers[-2].kernel[...] = 1e30
    model.layers[-1].moving_variance[...] = 1e-30
    x = np.full((1, 2), 1e-30)
    assert_close(compile_model(model).predict(x)[0], model.predict(x), 1e-5)


def test_numbers_are_written_as_they_are(tmp_path):
    values = np.array(
        [-0.0, 1e-45, -1e-45, 1.1754942e-38, 3.4028235e38, 0.1, 16777217, 1e-5, 123456.789, 1 / 3, 1e16, 0], np.float32
    )
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(12, use_bias=False)])
    model.layers[-1].kernel[...] = values
    with np.printoptions(legacy="1.13", precision=2):  # what a program says of its own prints
        written = write_model(model, "net")
    for compiler in COMPILERS:
        found = Compiled(written.source, written.functions, "net", "float32", written.memory, compiler).predict(np.ones((1, 1)))[
            0
        ]
        expected = values + np.float32(0)  # a sum that begins with 0
        np.testing.assert_array_equal(found[0], expected)
    assert "-0.0f" in written.source


def test_both_files_or_none(tmp_path):
    (tmp_path / "net.h").mkdir()
    (tmp_path / "net.c").write_text("old")
    with pytest.raises(IsADirectoryError):
        small_model().export(tmp_path / "net.c", header=True)
    assert (tmp_path / "net.c").read_text() == "old"


def test_the_same_model_gives_the_same_bytes():
    """Whatever was exported before it."""

    def make(first, second):
        x = fn.Input((5, 3))
        one, two = (fn.layers.SimpleRNN(4, activation=fn.layers.LeakyReLU(alpha)) for alpha in (first, second))
        return fn.Model(x, [one(x), two(x)], seed=0, name="same")

    load_library.cache_clear()
    first = write_model(make(0.1, 0.2), "net").source
    load_library.cache_clear()
    write_model(make(0.2, 0.1), "net")
    assert write_model(make(0.1, 0.2), "net").source == first


@pytest.mark.parametrize("options", [{}, {"training": True, "batch_size": 4}, {"gradient": True}])
def test_an_export_leaves_the_model_as_it_is(tmp_path, options):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(24, 8)), random.normal(size=(24, 3))
    digests = []
    for exports in (False, True):
        layers = [fn.Input((8,)), fn.layers.Dense(9), fn.layers.BatchNormalization(), fn.layers.Dropout(0.4), fn.layers.Dense(3)]
        model = fn.Sequential(layers, seed=0)
        model.compile(fn.optimizers.Adam(0.01, use_ema=True), "mse")
        for i in range(0, 24, 4):
            model.train_on_batch(x[i : i + 4], y[i : i + 4])
            if exports:
                model.export(tmp_path / "net.c", **options)
        digests.append(hashlib.sha256(b"".join(w.tobytes() for w in [*model.get_weights(), model.predict(x)])).hexdigest())
    assert digests[0] == digests[1]


def test_a_self_test_takes_inputs_with_finite_outputs(tmp_path):
    x = fn.Input((3,))
    model = fn.Model(x, fn.layers.Activation("exponential")(fn.layers.Rescaling(1e4)(x)))
    exported = model.export(tmp_path / "net.c")
    text = exported.paths[0].read_text()
    assert compile_text(text, flags=["-DNET_SELFTEST"]).net_selftest(bytes(exported.memory)) == 0


def sizes_of(text):
    return {name: int(size) for name, size in re.findall(r"#define NET_(\w+) (\d+)$", text, re.MULTILINE)}


def test_sizes_of_all_that_callers_give():
    x = fn.Input((5, 3))
    h = fn.layers.Conv1D(4, 2)(x)
    model = fn.Model(x, [fn.layers.Dense(6, "softmax", name="a")(h), fn.layers.Dense(2, name="b")(fn.layers.Flatten()(h))])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    written = write_model(model, "net", training=True, gradient=True, batch_size=7)
    expected = {"X_SIZE": 15, "A_SIZE": 24, "B_SIZE": 2, "BATCH": 7, "A_TARGET_SIZE": 4, "A_WEIGHT_SIZE": 4, "B_TARGET_SIZE": 2, "B_WEIGHT_SIZE": 1, "JACOBIAN_SIZE": 26 * 15}  # fmt: skip
    assert sizes_of(written.source).items() >= expected.items()
    step = written.functions[1].step
    assert [array.size for array in [*step.targets, *step.sample_weights]] == [28, 14, 28, 7]


@pytest.mark.parametrize("wrong", ["7 + 1", "7 + 3"])
def test_gaps_between_arrays_see_a_number_too_many(wrong):
    """Of the helper of these tests: activations that write beyond their array, among those of the file and of the caller."""
    x = fn.Input((8,))
    before = fn.layers.Dense(7)(x)
    h = fn.layers.Activation("relu")(before)
    for outputs in (fn.layers.Dense(3)(fn.layers.Add()([before, h])), h):
        with arrays_apart() as gaps:
            written = write_model(fn.Model(x, outputs, seed=0), "net")
        text = re.sub(r"(    net_relu\(.*), 7\);", rf"\1, {wrong});", written.source)
        assert text != written.source
        for source in (written.source, text):
            compiled = Compiled(source, written.functions, "net", "float32", written.memory, gaps=gaps)
            with pytest.raises(AssertionError, match="beyond") if source is text else contextlib.nullcontext():
                compiled.predict(np.ones((1, 8)))


@pytest.mark.parametrize("prefix", ["net", "network_of_digits"])
def test_lines_have_at_most_130_columns(prefix):
    x = fn.Input((8, 8, 1))
    h = fn.layers.MaxPooling2D()(fn.layers.Conv2D(4, 3, activation="relu")(x))
    outputs = [fn.layers.Dense(3, name=f"output_with_a_long_name_{i}")(fn.layers.Flatten()(h)) for i in range(3)]
    model = fn.Model(x, outputs, seed=0)
    model.compile("adam", "mse")
    written = write_model(model, prefix, training=True, gradient=True, header_name=f"{prefix}.h")
    program = written.source[written.source.index(f"void {prefix}_predict(") :]
    lines = [*written.header.splitlines(), *program.splitlines(), *(written.source.splitlines() if prefix == "net" else [])]
    assert max(lines, key=len) == max((line for line in lines if len(line) <= 130), key=len)


def test_two_exports_are_one_program(tmp_path):
    """Their headers in one file, in C and in C++, and both linked to it."""
    main = (
        '#include "one.h"\n#include "two.h"\n#include "one.h"\n#include <stdio.h>\nstatic one_memory a;\nstatic two_memory b;\n'
    )
    main += "int main(void)\n{\n    float x[ONE_X_SIZE] = {1}, y[ONE_Y_SIZE];\n    double v[TWO_X_SIZE] = {1}, z[TWO_Y_SIZE];\n"
    main += "    two_reset(&b);\n    one_predict(x, y, &a);\n    two_predict(v, z, &b);\n"
    main += '    printf("%d %d %.9g %.17g\\n", one_selftest(&a), two_selftest(&b), (double)y[0], z[0]);\n    return 0;\n}\n'
    one, two = small_model(1), fn.Sequential([fn.Input((8,)), fn.layers.Dense(3, "tanh")], seed=2, dtype="float64")
    two.compile("adam", "mse")
    one.export(tmp_path / "one.c", header=True)
    two.export(tmp_path / "two.c", header=True, training=True)
    (tmp_path / "main.c").write_text(main)
    (tmp_path / "main.cc").write_text(main)
    row = np.eye(8)[:1]
    macros = ["-DONE_SELFTEST", "-DTWO_SELFTEST"]
    for compiler in COMPILERS:
        for suffix in ("c", "cc")[: 1 if compiler == "tcc" else 2]:
            standard = C99 if suffix == "c" else ["-std=c++17", "-pedantic", *WARNINGS]
            fast = [] if compiler == "tcc" else ["-O3", "-funsigned-char"] + (["-flto"] if compiler == "gcc" else [])
            for file, flags in ((f"main.{suffix}", standard), ("one.c", C99), ("two.c", C99)):
                subprocess.run([compiler, *flags, *fast, *macros, "-c", file, "-o", f"{file}.o"], cwd=tmp_path, check=True)
            more = ["-lstdc++"] if suffix == "cc" else []
            subprocess.run(
                [compiler, *fast, f"main.{suffix}.o", "one.c.o", "two.c.o", "-o", "main", *more], cwd=tmp_path, check=True
            )
            found = subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
            assert found[:2] == ["0", "0"]
            assert_close(np.array(float(found[2])), one.predict(row)[0, 0], 1e-6)
            assert_close(np.array(float(found[3])), two.predict(row)[0, 0], 1e-13)
