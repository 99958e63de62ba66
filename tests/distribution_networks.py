"""Networks that `distribution_worker.py` has several processes train, and what is compared of them."""

import functools
import hashlib

import numpy as np

import fastnet as fn

OPTIMIZERS = [
    name
    for name in dir(fn.optimizers)
    if isinstance(one := getattr(fn.optimizers, name), type)
    and issubclass(one, fn.Optimizer)
    and one not in (fn.Optimizer, fn.optimizers.LBFGS)
]
CROSS_ENTROPY = "sparse_categorical_crossentropy"


def digest(model):
    return digest_arrays(model.get_weights())


def digest_arrays(arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def slots_of(model):
    """What the optimizer keeps of the weights."""
    return digest_arrays(model._plans.slots.arrays())


def dense(seed, **options):
    layers = fn.layers
    return fn.Sequential([fn.Input((6,)), layers.Dense(9, "tanh"), layers.Dense(3, "softmax")], seed=seed, **options)


def wide(seed, **options):
    """So many weights that each process updates a part of them."""
    layers = [fn.Input((6,)), fn.layers.Dense(3000, "relu", **options), fn.layers.Dense(3, "softmax")]
    return fn.Sequential(layers, seed=seed)


def synchronized(seed, units=9, **options):
    """With batch normalizations of which one has no scale, one is of the input and one has been frozen."""
    layers, normal = fn.layers, functools.partial(fn.layers.BatchNormalization, momentum=0.7, synchronized=True)
    shape = (4, 3, 1) if units > 1000 else (6, 6, 1)
    stack = [
        fn.Input(shape), normal(), layers.Conv2D(5, 3, use_bias=False), normal(), layers.Activation("relu"), layers.Flatten(),
        layers.Dense(units), normal(scale=False), normal(trainable=False), layers.Dense(3, "softmax"),
    ]  # fmt: skip
    return fn.Sequential(stack, seed=seed, **options)


def rows(n=50, shape=(6,), classes=3):
    random = np.random.default_rng(7)
    return random.normal(size=(n, *shape)).astype("float32"), random.integers(0, classes, n)


def squares(y_true, y_pred):
    """A loss of arrays."""
    difference = np.asarray(y_pred) - y_true
    return float(np.mean(difference**2)), 2 * difference / difference.size


def largest(y_true, y_pred):
    return float(np.max(y_pred))


def networks():
    """By name: a model, its data and the arguments of compile and fit, where they are not the usual ones."""
    layers = fn.layers
    rank = int(fn.distribution.distribution().rank if fn.distribution.distribution() else 0)
    for name in OPTIMIZERS:
        yield name, dense(rank), rows(), {"optimizer": getattr(fn.optimizers, name)()}, {}
    x, y = rows()
    images = x[:, :, None, None] * np.ones((1, 1, 6, 1), "float32")
    convolution = [
        fn.Input((6, 6, 1)), layers.Conv2D(5, 3), layers.BatchNormalization(), layers.Activation("relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dropout(0.3), layers.Dense(3, "softmax"),
    ]  # fmt: skip
    yield "convolution", fn.Sequential(convolution, seed=rank), (images, y), {"optimizer": "adam"}, {}
    steps = [fn.Input((6, 1)), layers.LSTM(7), layers.Dense(3, "softmax")]
    yield "recurrent", fn.Sequential(steps, seed=rank), (x[..., None], y), {"optimizer": "rmsprop"}, {}
    tokens = np.random.default_rng(1).integers(0, 40, (50, 4))
    for name, lazy in (("embedding", False), ("lazy", True)):
        embedded = [fn.Input((4,)), layers.Embedding(40, 5), layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]
        optimizer = fn.optimizers.Adam(0.01, lazy=lazy)
        yield name, fn.Sequential(embedded, seed=rank), (tokens, y), {"optimizer": optimizer}, {}
    around = fn.optimizers.SGD(
        0.05, momentum=0.9, global_clipnorm=0.2, use_ema=True, gradient_accumulation_steps=2, weight_decay=1e-3
    )
    regular = [fn.Input((6,)), layers.Dense(9, "relu", kernel_regularizer="l2"), layers.Dense(3, "softmax")]
    weights = np.random.default_rng(2).uniform(0.1, 2, 50)
    fit = {"sample_weight": weights, "class_weight": {0: 2.0, 2: 0.5}, "validation_split": 0.2}
    yield "around", fn.Sequential(regular, seed=rank), (x, y), {"optimizer": around}, fit
    functions = [
        fn.Input((6,)),
        layers.Dense(9, "relu", kernel_regularizer=lambda w: 0.02 * fn.ops.sum(fn.ops.tanh(w) ** 2)),
        layers.Dense(3, "softmax", kernel_constraint=lambda w: w / (1 + fn.ops.norm(w, axis=0, keepdims=True))),
    ]
    around = fn.optimizers.SGD(0.05, momentum=0.9, global_clipnorm=0.2, use_ema=True)
    yield "functions", fn.Sequential(functions, seed=rank), (x, y), {"optimizer": around}, {"validation_split": 0.2}
    a = fn.Input((6,), name="a")
    hidden = layers.Dense(8, "relu")(a)
    two = fn.Model(a, [layers.Dense(1, "sigmoid", name="p")(hidden), layers.Dense(1, name="q")(hidden)], seed=rank)
    compiled = {
        "loss": {"p": "binary_crossentropy", "q": "mse"},
        "metrics": {"p": ["AUC", "F1Score"], "q": ["R2Score"]},
        "optimizer": "adam",
    }
    targets = {"p": (y[:, None] > 0).astype("float32"), "q": x[:, :1] ** 2}
    yield "outputs", two, (x, targets), compiled, {}
    yield "double", dense(rank, dtype="float64"), (x, y), {"optimizer": fn.optimizers.Adam(0.01)}, {}
    batches = ((x[a:b], y[a:b]) for _ in range(2) for a, b in ((0, 20), (20, 33), (33, 50)))
    yield "stream", dense(rank), (batches,), {"optimizer": "adam"}, {"batch_size": None, "steps_per_epoch": 3}
    yield "wide", wide(rank), (x, y), {"optimizer": "sgd"}, {}
    average = fn.optimizers.Adam(0.01, use_ema=True, gradient_accumulation_steps=3, weight_decay=1e-3)
    fit = {"validation_split": 0.2}  # with the average
    yield "wide average", wide(rank, kernel_regularizer="l2"), (x, y), {"optimizer": average}, fit
    normalized = [fn.Input((6,)), layers.Dense(3000), layers.BatchNormalization(), layers.Dense(3, "softmax")]
    yield "wide states", fn.Sequential(normalized, seed=rank), (x, y), {"optimizer": "rmsprop"}, {}
    yield "wide clipped", wide(rank), (x, y), {"optimizer": fn.optimizers.Adam(0.01, global_clipnorm=0.2)}, {}
    yield "wide Lamb", wide(rank), (x, y), {"optimizer": fn.optimizers.Lamb(0.01)}, {}
    around = fn.optimizers.SGD(
        0.05, momentum=0.9, global_clipnorm=0.5, use_ema=True, gradient_accumulation_steps=3, weight_decay=1e-3
    )
    compiled = {"optimizer": around, "loss": squares, "metrics": ["accuracy", largest]}
    regular = [
        fn.Input((6,)),
        layers.Dense(9, "tanh", kernel_regularizer="l2"),
        layers.Dense(3, "softmax", kernel_regularizer=lambda w: 0.02 * fn.ops.sum(fn.ops.tanh(w) ** 2)),
    ]
    model = fn.Sequential(regular, seed=rank, dtype="float64")
    yield "loss of arrays", model, (x, np.eye(3)[y]), compiled, {"validation_split": 0.2}
    compiled = {"optimizer": "adam", "loss": {"p": squares, "q": "mse"}, "metrics": {"p": ["mae"], "q": []}}
    targets = {"p": (y[:, None] > 0).astype("float32"), "q": x[:, :1] ** 2}
    hidden = layers.Dropout(0.2)(layers.BatchNormalization()(layers.Dense(3000)(a)))
    two = fn.Model(a, [layers.Dense(1, "sigmoid", name="p")(hidden), layers.Dense(1, name="q")(hidden)], seed=rank)
    yield "wide loss of arrays", two, (x, targets), compiled, {}
    for name, options in (("synchronized", {}), ("synchronized double", {"dtype": "float64"})):
        yield name, synchronized(rank, **options), (images, y), {"optimizer": "adam"}, {"validation_split": 0.2}
    yield "synchronized wide", synchronized(rank, 2000), (images[:, :4, :3], y), {"optimizer": "rmsprop"}, {}
    yield "synchronized tiny", synchronized(rank), (images[:7], y[:7]), {"optimizer": "sgd"}, {"batch_size": 3}
    yield "tiny batches", dense(rank), (x[:7], y[:7]), {"optimizer": "sgd"}, {"batch_size": 3}


def train(model, data, compiled, fit):
    options = {"loss": CROSS_ENTROPY, "metrics": ["accuracy"], **compiled}
    model.compile(**options)
    history = model.fit(*data, **{"epochs": 2, "batch_size": 16, "verbose": 0, **fit}).history
    return {"weights": digest(model), **{name: values for name, values in history.items() if name != "seconds"}}
