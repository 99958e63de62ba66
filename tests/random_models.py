"""Random models of layers, with data, a loss and an optimizer: the same seed gives the same model."""

import numpy as np

import fastnet as fn

ACTIVATIONS = ["relu", "tanh", "sigmoid", "gelu", "silu", "elu", "softplus", "leaky_relu", "mish", "selu", "softsign"]
#: Losses with the activation of the last layer that suits them.
LOSSES = [
    ("mse", None), ("mae", None), ("huber", None), ("log_cosh", None), ("binary_crossentropy", "sigmoid"),
    ("categorical_crossentropy", "softmax"), ("sparse_categorical_crossentropy", "softmax"), ("kl_divergence", "softmax"),
    ("poisson", "softplus"), ("hinge", "tanh"),
]  # fmt: skip


def pick(random, choices):
    return choices[int(random.integers(len(choices)))]


def random_optimizer(random):
    """One of all, with some of what surrounds the update."""
    o = fn.optimizers
    optimizer = pick(
        random,
        [
            o.SGD, o.SGD, lambda **more: o.SGD(momentum=0.9, **more), lambda **more: o.SGD(momentum=0.8, nesterov=True, **more),
            o.Adam, lambda **more: o.Adam(amsgrad=True, **more), o.AdamW, o.Adagrad, o.Adadelta, o.Adamax, o.Nadam, o.RMSprop,
            lambda **more: o.RMSprop(centered=True, momentum=0.5, **more), o.Ftrl, o.Lion, o.RAdam, o.AdaBelief, o.Adan,
        ],
    )  # fmt: skip
    around = pick(random, [{}, {}, {"weight_decay": 0.01}, {"clipnorm": 0.5}, {"clipvalue": 0.05}, {"global_clipnorm": 0.5}])
    return optimizer(learning_rate=float(pick(random, [1e-3, 3e-3, 1e-2])), **around)


def body_of_table(random, x):
    layers = fn.layers
    for _ in range(random.integers(1, 5)):
        kind, width = random.integers(7), x.shape[-1]
        if kind < 3:
            penalty = pick(random, [None, None, "l2", "l1"])
            constraint = pick(random, [None, None, None, "max_norm", "non_neg"])
            x = layers.Dense(
                int(random.integers(2, 20)), pick(random, ACTIVATIONS), bool(random.random() < 0.8),
                kernel_regularizer=penalty, kernel_constraint=constraint,
            )(x)  # fmt: skip
        elif kind == 3:
            first = layers.BatchNormalization if x.mask is None else layers.LayerNormalization  # the one warns of masks
            x = pick(random, [first, layers.LayerNormalization, layers.RMSNormalization])()(x)
        elif kind == 4:
            x = pick(random, [layers.Dropout, layers.GaussianDropout, layers.GaussianNoise])(0.2)(x)
        elif kind == 5:
            other = layers.Dense(width, pick(random, ACTIVATIONS))(x)
            x = pick(random, [layers.Add, layers.Multiply, layers.Average, layers.Maximum, layers.Concatenate])()([x, other])
        else:
            x = pick(
                random,
                [layers.Activation(pick(random, ACTIVATIONS)), layers.PReLU() if hasattr(layers, "PReLU") else layers.ReLU()],
            )(x)
    return x


def body_of_image(random, x):
    layers = fn.layers
    for _ in range(random.integers(1, 4)):
        kind, channels = random.integers(7), int(random.integers(1, 9))
        size, padding = int(random.integers(1, 4)), pick(random, ["same", "valid"])
        if min(x.shape[1:3]) < 4:
            padding = "same"
        if kind < 2:
            strides = pick(random, [1, 1, 2])
            x = layers.Conv2D(channels, size, strides, padding, activation=pick(random, ACTIVATIONS))(x)
        elif kind == 2:
            x = pick(
                random, [layers.DepthwiseConv2D(size, padding=padding), layers.SeparableConv2D(channels, size, padding=padding)]
            )(x)
        elif kind == 3:
            x = pick(random, [layers.MaxPooling2D, layers.AveragePooling2D])(2, padding="same")(x)
        elif kind == 4:
            x = pick(random, [layers.BatchNormalization(), layers.GroupNormalization(1), layers.ZeroPadding2D(1)])(x)
        elif kind == 5 and x.shape[1] < 9:
            x = pick(random, [layers.UpSampling2D(2), layers.Conv2DTranspose(channels, size, 2, padding="same")])(x)
        else:
            other = layers.Conv2D(x.shape[-1], 3, padding="same", activation=pick(random, ACTIVATIONS))(x)
            x = pick(random, [layers.Add, layers.Concatenate])()([x, other])
    return pick(random, [layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])()(x)


def body_of_sequence(random, x):
    layers = fn.layers
    for _ in range(random.integers(1, 3)):
        kind, units = random.integers(5), int(random.integers(2, 9))
        if kind < 3:
            cell = pick(random, [layers.LSTM, layers.GRU, layers.SimpleRNN])(units, return_sequences=True)
            x = layers.Bidirectional(cell)(x) if random.random() < 0.3 else cell(x)
        elif kind == 3:
            x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)]))
        else:
            x = layers.Conv1D(units, 3, padding=pick(random, ["same", "causal"]), activation=pick(random, ACTIVATIONS))(x)
    return pick(random, [layers.LSTM(4), layers.GlobalAveragePooling1D(), layers.Flatten()])(x)


def random_model(seed, dtype="float32", n_rows=12):
    """A compiled model with rows for it.

    Returns
    -------
    model, x, y
    """
    random = np.random.default_rng([seed, 16])
    kind = seed % 4
    if kind < 2:
        inputs = fn.Input((int(random.integers(1, 12)),))
        x = random.normal(size=(n_rows, *inputs.shape[1:]))
        scaling = fn.layers.Normalization()
        scaling.adapt(x)
        value = body_of_table(random, scaling(inputs) if random.random() < 0.5 else inputs)
    elif kind == 2:
        inputs = fn.Input((int(random.integers(4, 9)), int(random.integers(4, 9)), int(random.integers(1, 4))))
        x = random.normal(size=(n_rows, *inputs.shape[1:]))
        value = body_of_image(random, inputs)
    elif random.random() < 0.5:
        inputs = fn.Input((int(random.integers(2, 7)), int(random.integers(1, 5))))
        x = random.normal(size=(n_rows, *inputs.shape[1:]))
        value = body_of_sequence(random, fn.layers.Masking(9.0)(inputs) if random.random() < 0.3 else inputs)
    else:
        inputs = fn.Input((int(random.integers(2, 7)),))
        x = random.integers(0, 7, (n_rows, *inputs.shape[1:]))
        value = body_of_sequence(random, fn.layers.Embedding(7, 4, mask_zero=bool(random.random() < 0.5))(inputs))
    loss, activation = pick(random, LOSSES)
    units = int(random.integers(2, 6))
    outputs = fn.layers.Dense(units, activation)(value)
    y = targets_of(random, loss, n_rows, units)
    model = fn.Model(inputs, outputs, seed=seed, dtype=dtype)
    model.compile(random_optimizer(random), loss)
    return model, x if kind == 3 and x.dtype.kind == "i" else x.astype(dtype), y


def targets_of(random, loss, n_rows, units):
    if loss == "sparse_categorical_crossentropy":
        return random.integers(0, units, n_rows)
    if loss in ("categorical_crossentropy", "binary_crossentropy"):
        return np.eye(units)[random.integers(0, units, n_rows)]
    if loss == "kl_divergence":
        return random.dirichlet(np.ones(units), n_rows)
    if loss == "poisson":
        return random.poisson(2, (n_rows, units))
    if loss == "hinge":
        return random.integers(0, 2, (n_rows, units)) * 2 - 1
    return random.normal(size=(n_rows, units))
