"""Models in the C library: what Python saved predicts and trains the same bits in C, and goes on in Python."""

import concurrent.futures
import ctypes
import json
import os
import stat
import struct

import numpy as np
import pytest
from library import CAN_BUILD, Error, Fit, Library, find_file, shared_library, sources
from networks import same_weights
from round_trips import inputs_for
from test_configs import called, classes_of, input_for, samples_for, variants

import fastnet as fn
from fastnet import layers, optimizers

pytestmark = pytest.mark.skipif(not CAN_BUILD, reason="no cmake or no C compiler")
EPOCHS = 2


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(find_file(shared_library(tmp_path_factory), "libfastnet.so"))


def predictions(model, inputs):
    found = model.predict(inputs if len(inputs) > 1 else inputs[0])
    return found if isinstance(found, list) else [found]


def check_predictions(library, model, inputs, path):
    inputs = [np.asarray(x, np.float32) for x in inputs]
    model.save(path)
    for ours, theirs in zip(library.load(path).predict(inputs), predictions(model, inputs), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def digits(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(40, 8, 8, 1)).astype("float32"), random.integers(0, 5, 40)


def image_model(optimizer="adam", **options):
    """Scaling, convolutions, statistics, random numbers, penalties, a constraint and classes."""
    scaling = layers.Normalization()
    scaling.adapt(digits()[0])
    model = fn.Sequential(
        [
            fn.Input((8, 8, 1)),
            layers.Rescaling(0.5),
            scaling,
            layers.Conv2D(6, 3, activation="elu", kernel_regularizer=fn.regularizers.L2(1e-3)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(9, layers.LeakyReLU(0.1), kernel_constraint=fn.constraints.MaxNorm(1.5)),
            layers.Dense(5, "softmax", kernel_regularizer=fn.regularizers.L1(1e-4)),
        ],
        seed=5,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    return model


def two_outputs():
    """Sequences with masks, an output without a loss, and two inputs."""
    tokens, numbers = fn.Input((5,), name="tokens"), fn.Input((3,), name="numbers")
    sequence = layers.LSTM(6, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(tokens))
    tags, last = layers.Dense(4)(sequence), layers.GlobalAveragePooling1D()(sequence)
    score = layers.Dense(1, "sigmoid")(layers.Concatenate()([last, layers.Dense(3, "tanh")(numbers)]))
    model = fn.Model([tokens, numbers], [tags, score], seed=2)
    model.compile(
        optimizers.SGD(fn.schedules.PiecewiseConstantDecay([1000], [0.1, 0.01]), momentum=0.9, clipnorm=1.0, weight_decay=1e-3),
        loss=[fn.losses.SparseCategoricalCrossentropy(from_logits=True), "binary_crossentropy"],
        loss_weights=[0.5, 2.0],
    )
    random = np.random.default_rng(1)
    tokens, numbers = random.integers(0, 9, (30, 5)), random.normal(size=(30, 3)).astype("float32")
    return model, [tokens, numbers], [random.integers(0, 4, (30, 5)), random.integers(0, 2, (30, 1)).astype("float32")]


@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_every_layer_predicts_the_same(library, cls, tmp_path):
    seen = 0
    for arguments, changed in variants(cls):
        given = input_for(cls, changed)
        text = cls in (layers.StringLookup, layers.TextVectorization)
        tensor = fn.Input(given.sample_shape, dtype="string" if text else None)
        if arguments.get("stateful") or any(isinstance(value, layers.Layer) for value in arguments.values()):
            continue
        x = samples_for(cls, tensor.sample_shape)
        model = fn.Model(tensor, called(cls(**arguments), tensor), seed=3)
        seen += 1
        if model._graph.host:  # computed in Python before the plan
            with pytest.raises(
                ValueError, match="cannot be used in C: it has layers that look up text or numbers|no description for C"
            ):
                model.save(tmp_path / "model.safetensors")
                library.load(tmp_path / "model.safetensors")
            continue
        check_predictions(library, model, [x], tmp_path / "model.safetensors")
    assert seen or cls.__name__ in ("Bidirectional", "Pipeline", "RNN", "StackedRNNCells", "TimeDistributed"), (
        "nothing of it was looked at"
    )


def test_wrappers_predict_the_same(library, tmp_path):
    for layer in (layers.Bidirectional(layers.GRU(3)), layers.TimeDistributed(layers.Dense(2))):
        model = fn.Sequential([fn.Input((3, 4)), layer], seed=1)
        check_predictions(library, model, inputs_for(model, 7), tmp_path / "model.safetensors")


def formulas():
    x, ops = fn.Input((6,)), fn.ops
    y = ops.concatenate(
        [ops.sin(x) * ops.maximum(x, 0.5), ops.cumprod(ops.exp(x / 3), axis=1), ops.max(x, axis=1, keepdims=True)], -1
    )
    return fn.Model(x, layers.Dense(2)(y), seed=0)


def test_functions_go_by_their_names(library, tmp_path):
    """The numbers of the engine's tables change as these grow."""
    model, path = formulas(), tmp_path / "model.safetensors"
    check_predictions(library, model, [digits()[0][:, 0, :6, 0]], path)
    header, _ = parts_of(path.read_bytes())
    nodes = json.loads(header["__metadata__"]["plan"])["predict"]["nodes"]
    named = [(node["op"], node["attributes"]["function"]) for node in nodes if "function" in node["attributes"]]
    assert {("elementwise", "sin"), ("elementwise", "maximum"), ("reduce", "max"), ("scan", "prod")} <= set(named)
    place = next(i for i, node in enumerate(nodes) if node["op"] == "scan")
    with pytest.raises(ValueError, match="no activation of this library"):
        library.load(changed(path.read_bytes(), put("predict", "nodes", place, "attributes", "function", "tanh")))


@pytest.mark.parametrize("rows", [1, 3, 40, 1100])
def test_any_number_of_rows(library, tmp_path, rows):
    model = image_model()
    check_predictions(library, model, [np.tile(digits()[0], (28, 1, 1, 1))[:rows]], tmp_path / "model.safetensors")


def goes_on(library, model, inputs, targets, tmp_path, batch_size=8):
    """Python, C, and Python again, each for some epochs, are Python alone."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    x, y = (arrays if len(arrays) > 1 else arrays[0] for arrays in (inputs, targets))
    model.fit(x, y, batch_size=batch_size, epochs=EPOCHS, verbose=0)
    model.save(first, include_optimizer=True)
    in_c = library.load(first)
    assert in_c.info.trains and in_c.info.batches == model.optimizer.batches
    losses = in_c.fit(inputs, targets, batch_size, EPOCHS)
    assert losses == model.fit(x, y, batch_size=batch_size, epochs=EPOCHS, verbose=0).history["loss"]
    in_c.save(second)
    again = fn.load_model(second)
    assert same_weights(again, model) and again.optimizer.iterations == model.optimizer.iterations
    for ours, theirs in zip(library.load(second).predict(inputs), predictions(model, inputs)):
        assert ours.tobytes() == theirs.tobytes()
    for one in (again, model):
        one.fit(x, y, batch_size=batch_size, epochs=EPOCHS, verbose=0)
    assert same_weights(again, model)
    return in_c


@pytest.mark.parametrize("cls", classes_of("optimizer"), ids=lambda cls: cls.__name__)
def test_training_goes_on_with_every_optimizer(library, cls, tmp_path):
    model = image_model(cls())
    x, y = digits()
    reason = model._compiled.optimizer.kernel is None or model._compiled.optimizer.keeps_average
    if not reason:
        goes_on(library, model, [x], [y], tmp_path)
        return
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="ERROR_STATE: this model cannot be trained in C: (the steps of|.* keeps averages)"):
        library.load(tmp_path / "model.safetensors").fit([x], [y], 8, 1)


def test_training_goes_on_with_masks_and_several_outputs(library, tmp_path):
    model = goes_on(library, *two_outputs(), tmp_path)
    assert model.hyper("learning_rate")[0] == 0.1 and model.hyper("momentum")[0] == 0.9 and not model.hyper("beta_1")


def test_training_begins_in_c(library, tmp_path):
    """From a model without the optimizer's arrays; what is written again and again stays whole."""
    path, (x, y) = tmp_path / "model.safetensors", digits()
    model = image_model(optimizers.Adam(0.01, amsgrad=True))
    model.save(path)
    for _ in range(3):
        in_c = library.load(path)
        in_c.fit([x], [y], 7, 1)
        in_c.save(path)
        in_c.save(path)
    model.fit(x, y, batch_size=7, epochs=3, verbose=0)
    assert same_weights(fn.load_model(path), model)
    assert library.load(path).info.batches == model.optimizer.batches == 18


class Normed(layers.Layer):
    """With a kernel of a direction and a length for each unit."""

    def build(self, shape):
        self.direction = self.add_weight(
            (shape[-1], 4), "glorot_uniform", name="direction", regularizer=lambda w: fn.ops.sum(abs(w)) / 50
        )
        self.length = self.add_weight((4,), "ones", name="length", constraint=lambda w: fn.ops.clip(w, 0.9, 1.1))

    def call(self, x):
        return x @ (self.direction * self.length / fn.ops.norm(self.direction, axis=0))


def test_functions_of_weights_train_in_c(library, tmp_path):
    """Formulas of weights, penalties and constraints: of weights that are values in predictions, and that are so in training alone."""
    dense = layers.Dense(
        6,
        "tanh",
        kernel_regularizer=lambda w: 0.02 * fn.ops.sum(fn.ops.tanh(w) ** 2),
        kernel_constraint=lambda w: 0.99 * w - w**3 / 9,
    )
    model = fn.Sequential([fn.Input((5,)), dense, Normed(), layers.Dropout(0.2), layers.Dense(2)], seed=0)
    model.compile(optimizers.Adam(0.05, global_clipnorm=0.3), "mse")
    x = np.random.default_rng(0).normal(size=(30, 5)).astype("float32")
    goes_on(library, model, [x], [x[:, :2] ** 2], tmp_path)
    assert np.asarray(model.layers[1].length).min() == np.float32(0.9)
    path = tmp_path / "constant.safetensors"
    layer = layers.Dense(2, kernel_regularizer=lambda w: fn.ops.sum((w - np.ones((5, 2))) ** 2))
    model = fn.Sequential([fn.Input((5,)), layer], seed=0)
    model.compile("sgd", "mse")
    check_predictions(library, model, [x], path)
    with pytest.raises(
        ValueError, match="cannot be trained in C: a regularizer or a constraint computes with an array of its own"
    ):
        library.load(path).fit([x], [x[:, :2]], 8, 1)


def test_rows_in_order_and_another_learning_rate(library, tmp_path):
    path, (x, y) = tmp_path / "model.safetensors", digits()
    model = image_model(optimizers.SGD(0.01))
    model.save(path)
    in_c = library.load(path)
    in_c.hyper("learning_rate")[0] = 0.02
    model.optimizer.learning_rate = 0.02
    assert in_c.fit([x], [y], 40, 2, in_order=True) == model.fit(x, y, 40, 2, verbose=0, shuffle=False).history["loss"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("momentum", 0.9),
        ("nesterov", 1),
        ("weight_decay", 0.1),
        ("decay_coupled", 1),
        ("clipnorm", 0.01),
        ("global_clipnorm", 0.01),
        ("clipvalue", 1e-3),
        ("lookahead_steps", 3),
        ("accumulation_steps", 2),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd weight_decay=0.01", "sgd momentum=0.5"])
def test_hyper_parameters_count_from_the_next_epoch(library, name, value, optimizer):
    """Those, too, that ask for another array of the optimizer, or for other stages of a step."""
    x, y = digits()

    stack = ["reshape rank=1 size_0=64", "dense units=5", "softmax"]
    losses = []
    for more in (f" {name}={value}", ""):
        model = library.create(stack, (8, 8, 1), "sparse_categorical_crossentropy", optimizer + more)
        model.hyper("learning_rate")[0] = 0  # two steps that change nothing
        model.fit([x], [y], 20, 1)
        model.hyper("learning_rate")[0] = 0.01
        model.hyper(name)[0] = value
        losses.append(model.fit([x], [y], 8, 3))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("name", "value"), [("learning_rate", np.nan), ("learning_rate", -1), ("momentum", 1), ("lazy", 0.5)])
def test_hyper_parameters_out_of_range_change_nothing(library, name, value, tmp_path):
    x, y = digits()
    path, same = tmp_path / "model.safetensors", tmp_path / "same.safetensors"
    image_model(optimizers.SGD(0.01, momentum=0.5)).save(path)
    for epochs in (0, 1):
        model = library.load(path)
        if epochs:
            model.fit([x], [y], 8, epochs)
        model.save(path)
        before = model.hyper(name)[0]
        model.hyper(name)[0] = value
        with pytest.raises(ValueError, match=f"ERROR_ATTRIBUTE: .*{name}"):
            model.fit([x], [y], 8, 1)
        model.save(same)
        assert path.read_bytes() == same.read_bytes()
        model.hyper(name)[0] = before
        model.fit([x], [y], 8, 1)


def test_an_array_that_is_asked_for_later_is_saved(library, tmp_path):
    """Python, whose optimizer has no momentum, goes on without it; C goes on with it."""
    x, y = digits()
    path = tmp_path / "model.safetensors"
    model = image_model(optimizers.SGD(0.01))
    model.fit(x, y, 8, 1, verbose=0)
    model.save(path, include_optimizer=True)
    in_c = library.load(path)
    for momentum in (0, 0.9):
        in_c.hyper("momentum")[0] = momentum
        in_c.fit([x], [y], 8, 1)
    in_c.save(path)
    again = fn.load_model(path)
    assert again.predict(x).tobytes() == in_c.predict([x])[0].tobytes()
    again.fit(x, y, 8, 1, verbose=0)


def test_python_goes_on_with_averages(tmp_path):
    """C does not read them; Python does."""
    x, y = digits()
    model = image_model(optimizers.Adam(use_ema=True, ema_momentum=0.9))
    model.fit(x, y, epochs=2, verbose=0)
    path = tmp_path / "model.safetensors"
    model.save(path, include_optimizer=True)
    again = fn.load_model(path)
    assert same_weights(again, model) and (again.predict(x) == model.predict(x)).all()
    for one in (again, model):
        one.fit(x, y, epochs=1, verbose=0)
    assert same_weights(again, model) and (again.predict(x) == model.predict(x)).all()


def test_weights_named_as_slots_keep_their_names(library, tmp_path):
    x = fn.Input((3,))
    model = fn.Model(x, layers.Dense(2, name='optimizer/velocity/é"')(x), seed=0)
    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse")
    goes_on(library, model, [np.eye(3, dtype="float32")], [np.ones((3, 2), "float32")], tmp_path, 2)


# ---- what is refused -------------------------------------------------------------------------------------------------


def parts_of(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, rest):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model = image_model()
    model.fit(*digits(), verbose=0)
    model.save(path, include_optimizer=True)
    return path.read_bytes()


def changed(data, change):
    """The file with something else in its description."""
    header, rest = parts_of(data)
    plan = json.loads(header["__metadata__"]["plan"])
    change(plan)
    header["__metadata__"]["plan"] = json.dumps(plan)
    return joined(header, rest)


def without(data, name):
    header, rest = parts_of(data)
    del header["__metadata__"][name]
    return joined(header, rest)


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(plan):
        for key in path:
            plan = plan[key]
        plan[last] = value

    return change


def test_a_whole_file_is_read(library, saved):
    assert library.load(saved).info.batches == 2
    assert library.load(joined(*parts_of(saved))).predict([digits()[0]])[0].shape == (40, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("version", 3), "saved by a newer fastnet: its description is of version 3"),
        (put("version", 1.5), "version"),
        (put("dtype", "float16"), "dtype"),
        (put("dtype", "float64"), "a parameter is not among the tensors"),
        (put("seed", -1), "seed"),
        (put("inputs", 0, "shape", [8, 8, 0]), "shape"),
        (put("inputs", 0, "shape", [2**43, 2**43, 2]), "ERROR_SHAPE"),
        (put("inputs", 0, "scale", ["0x1.8p+1", 2, 3]), "scale"),
        (put("inputs", 0, "scale", ["0x1.8p+9999"]), "scale"),
        (put("inputs", 0, "scale", [1.5]), "scale"),
        (put("predict", "nodes", 2, "op", "perceptron"), "ERROR_NAME: this library has no 'perceptron'"),
        (put("predict", "nodes", 2, "inputs", [99]), "ERROR_GRAPH"),
        (put("predict", "nodes", 2, "inputs", [2**40]), "inputs"),
        (put("predict", "nodes", 2, "parameters", [99, 1]), "ERROR_GRAPH"),
        (put("predict", "nodes", 2, "parameters", [4, 5]), "of another size in another layer"),
        (put("predict", "nodes", -2, "attributes", "units", 4), "not of the shape that its layer has"),
        (put("predict", "nodes", 2, "attributes", "filters", -1), "ERROR_ATTRIBUTE"),
        (put("predict", "nodes", 2, "attributes", "filtres", 1), "attribute that this library does not know"),
        (put("predict", "nodes", 2, "attributes", "activation", "softplussy"), "no activation of this library"),
        (put("predict", "outputs", 0, "value", 99), "an output is no value"),
        (put("parameters", 1, "name", "dense/kernels"), "not among the tensors"),
        (put("parameters", 0, "shape", [3, 3, 1, 7]), "not among the tensors"),
        (put("parameters", 0, "rate", "0.5"), "rate"),
        (put("train", "outputs", 0, "loss", "regret"), "ERROR_NAME: this library has no 'regret'"),
        (put("train", "assignments", [1]), "assignments"),
        (put("train", "assignments", [0, 2**40]), "assignments"),
        (put("train", "optimizer", "guess"), "has no optimizer 'guess'"),
        (put("train", "hyper", "beta_1", 7), "ERROR_ATTRIBUTE"),
        (put("predict", None), "nodes"),
        (put("refusal", "of this"), "this model cannot be used in C: of this"),
    ],
)
def test_a_broken_description_is_refused(library, saved, change, message):
    with pytest.raises(ValueError, match=message):
        library.load(changed(saved, change))


def test_a_broken_file_is_refused(library, saved, tmp_path):
    for length in [*range(0, 400, 7), len(saved) // 2, len(saved) - 1]:
        with pytest.raises(ValueError, match="ERROR_FILE: this is not a whole safetensors file"):
            library.load(saved[:length])
    header, rest = parts_of(saved)
    name = next(key for key in header if key != "__metadata__")
    for key, value in (("dtype", "F31"), ("shape", [2**62, 2**62]), ("shape", [-1]), ("data_offsets", [0, 2**63])):
        with pytest.raises(ValueError, match="an entry of its header is none"):
            library.load(joined({**header, name: {**header[name], key: value}}, rest))
    with pytest.raises(ValueError, match="longer than its tensors"):
        library.load(saved + b"\0")
    doubled = saved.replace(f'"{name}"'.encode(), f'"{name}":1,"{name}"'.encode(), 1)
    with pytest.raises(ValueError, match="ERROR_FILE"):
        library.load(struct.pack("<Q", struct.unpack("<Q", saved[:8])[0] + len(doubled) - len(saved)) + doubled[8:])
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="ERROR_FILE: .* cannot be (opened|read)"):
            library.load(path)
    with pytest.raises(ValueError, match="ERROR_FILE: .* cannot be written"):
        library.load(saved).save(tmp_path / "none" / "model.safetensors")


def test_files_of_older_versions_are_refused(library, saved):
    with pytest.raises(ValueError, match="it holds no description for C: it was saved by an older fastnet"):
        library.load(without(saved, "plan"))


def test_slots_must_be_there(library, saved):
    """Those of a file that says it has them."""
    header, rest = parts_of(saved)
    name = next(key for key in header if key.endswith("momentum/conv2d/kernel") or "optimizer/" in key)
    data = joined({(f"{key}x" if key == name else key): value for key, value in header.items()}, rest)
    with pytest.raises(ValueError, match="does not hold"):
        library.load(data).fit([digits()[0]], [digits()[1]], 8, 1)


def test_python_refuses_a_broken_state(saved, tmp_path):
    header, rest = parts_of(saved)
    path = tmp_path / "model.safetensors"
    for state in ({"batches": -1}, {"batches": 1, "epochs_begun": 0}, [], {"batches": 1, "epochs_begun": 0, "averaged": 3}):
        header["__metadata__"]["optimizer"] = json.dumps(state)
        path.write_bytes(joined(header, rest))
        with pytest.raises(ValueError, match="the state of the optimizer is broken"):
            fn.load_model(path)


def test_models_that_c_cannot_use(library, tmp_path):
    path = tmp_path / "model.safetensors"
    model = fn.Sequential([fn.Input((3, 2), batch_size=4), layers.LSTM(2, stateful=True)], seed=0)
    model.save(path)
    with pytest.raises(ValueError, match="cannot be used in C: its batches have a fixed size"):
        library.load(path)
    model = image_model(optimizers.Adam(gradient_accumulation_steps=2))
    model.save(path)
    with pytest.raises(ValueError, match="gradients of several batches are accumulated"):
        library.load(path).fit([digits()[0]], [digits()[1]], 8, 1)
    image_model().save(path)
    with pytest.raises(ValueError, match="ERROR_LABEL"):
        library.load(path).fit([digits()[0]], [digits()[1] + 5], 8, 1)


def test_a_model_whose_loss_does_not_fit_is_saved(library, tmp_path):
    model = fn.Sequential([fn.Input((3,)), layers.Dense(2)], seed=0)
    model.compile(optimizers.SGD(lambda step: -1.0), "mse")
    x = np.eye(3, dtype="float32")
    check_predictions(library, model, [x], tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="cannot be trained in C: .*learning_rate of step 0 is -1"):
        library.load(tmp_path / "model.safetensors").fit([x], [x[:, :2]], 1, 1)


# ---- models from nothing ---------------------------------------------------------------------------------------------


def test_a_stack_is_what_sequential_is(library):
    x, y = digits()
    convolution = "convolution filters=6 window_height=3 window_width=3 activation=elu"
    stack = [convolution, "reshape rank=1 size_0=216", "dropout rate=0.25", "dense units=5", "softmax"]
    in_c = library.create(stack, (8, 8, 1), "sparse_categorical_crossentropy", "adam learning_rate=1e-2", seed=7)
    model = fn.Sequential(
        [
            fn.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="elu"),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(5),
            layers.Softmax(),
        ],
        seed=7,
    )
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    assert in_c.fit([x], [y], 8, 3) == model.fit(x, y, 8, 3, verbose=0).history["loss"]
    assert in_c.predict([x])[0].tobytes() == model.predict(x).tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": []}, "ERROR_GRAPH: a model has from 1 to 10000 layers, got 0"),
        ({"layers": ["perceptron units=2"]}, "ERROR_NAME: unknown entry 'perceptron'"),
        ({"layers": [" "]}, "ERROR_NAME: a layer, the loss or the optimizer has no name"),
        ({"layers": ["dense units=2 bias=1"]}, "ERROR_ATTRIBUTE: 'dense': it has no attribute 'bias=1'"),
        ({"layers": ["dense units"]}, "ERROR_ATTRIBUTE"),
        ({"layers": ["dense units=two"]}, "neither a number nor an activation"),
        ({"layers": ["dense units=elu"]}, "neither a number nor an activation"),
        ({"layers": ["dense units=0"]}, "ERROR_ATTRIBUTE: .*units must be"),
        ({"layers": ["embedding"]}, "of layers with parameters, dense and convolution are known here"),
        ({"layers": ["convolution"]}, "ERROR_(SHAPE|ATTRIBUTE)"),
        ({"layers": ["dense"], "shape": (0,)}, "ERROR_SHAPE"),
        ({"layers": ["dense"], "loss": "regret"}, "ERROR_NAME: unknown entry 'regret'"),
        ({"layers": ["dense"], "optimizer": "sgd momentum=2"}, "ERROR_ATTRIBUTE"),
        ({"layers": ["dense"], "dtype": 2}, "ERROR_DTYPE"),
    ],
)
def test_a_stack_that_is_none_is_refused(library, arguments, message):
    with pytest.raises(ValueError, match=message):
        library.create(**arguments)


def test_a_stack_cannot_be_saved(library, tmp_path):
    with pytest.raises(ValueError, match="ERROR_STATE: this model was made in C"):
        library.create(["dense"]).save(tmp_path / "model.safetensors")


# ---- the place of a file ---------------------------------------------------------------------------------------------


def test_what_is_no_file_is_not_replaced(library, saved, tmp_path):
    model, fifo, read_only = library.load(saved), tmp_path / "fifo", tmp_path / "read-only"
    os.mkfifo(fifo)
    read_only.write_bytes(b"")
    read_only.chmod(0o444)
    for place, message in ((tmp_path, "a folder, a device"), (fifo, "a pipe"), (read_only, "is read-only")):
        before = place.stat()
        with pytest.raises(ValueError, match=f"ERROR_FILE: .* cannot be written: .*{message}"):
            model.save(place)
        assert place.stat() == before
    with pytest.raises(ValueError, match="ERROR_FILE: .*No such file or directory"):
        model.save(tmp_path / "none" / "model")
    assert sorted(tmp_path.iterdir()) == [fifo, read_only]


def test_links_and_mode_of_the_file_stay(library, saved, tmp_path):
    model, file, link = library.load(saved), tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to("file")
    model.save(link)
    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o640
    library.load(file)
    model.save(tmp_path / "new")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "new"]


def test_threads_may_save_to_one_place(library, saved, tmp_path):
    """Who reads it finds a whole file, and nothing is left beside it."""
    place = tmp_path / "model"
    models = [library.load(saved) for _ in range(4)]

    def saves(model):
        for _ in range(25):
            model.save(place)
            library.load(place)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(saves, models))
    assert list(tmp_path.iterdir()) == [place]


def test_more_rows_than_memory_can_be_asked_for(library):
    x = np.zeros((1, 3), "float32")
    (kept, table), error = sources([x]), Error()
    fit = Fit(ctypes.sizeof(Fit), 2**61, 1, 1, False, table, table, None, None)
    model = library.create(["dense units=3"])
    with pytest.raises(ValueError, match="ERROR_SHAPE: there must be 1 to"):
        library.check(library.calls.fn_model_fit(model.pointer, ctypes.byref(fit), ctypes.byref(error)), error)
    del kept
