"""What users write, which mypy and pyright find nothing in: `tools/check_types.py` asks them, a test runs it."""

import numpy as np

import fastnet as fn
from fastnet import callbacks, layers, optimizers, schedules


class Residual(layers.Layer):
    def __init__(self, units: int, rate: float = 0.1, name: str | None = None) -> None:
        super().__init__(name=name)
        self.units, self.rate = units, rate
        self.first = layers.Dense(units, activation="relu", kernel_initializer=fn.initializers.HeNormal())
        self.dropout = layers.Dropout(rate)

    def call(self, x):  # type: ignore[no-untyped-def]
        return layers.Add()([x, self.dropout(self.first(x))])


class Report(callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.losses.append((logs or {})["loss"])


def half_after_100(step: int) -> float:
    return 0.01 if step < 100 else 0.005


def squares(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
    difference = y_pred - y_true.reshape(y_pred.shape)
    return float(np.mean(difference**2)), 2 * difference / difference.size


rng = np.random.default_rng(0)
x = rng.normal(size=(64, 8)).astype(np.float32)
y = rng.integers(0, 3, 64)

scaling = layers.Normalization()
scaling.adapt(x)
model = fn.Sequential(
    [
        fn.Input((8,)),
        scaling,
        layers.Dense(16, "relu", kernel_regularizer=fn.regularizers.L2(1e-4), kernel_constraint="max_norm", name="hidden"),
        layers.BatchNormalization(momentum=0.9, trainable=True),
        Residual(16),
        layers.LeakyReLU(0.1, name="leaky"),
        layers.Dense(3),
    ],
    seed=0,
)
model.compile(
    optimizer=optimizers.Adam(schedules.CosineDecay(1e-3, 200), clipnorm=1.0, use_ema=True),
    loss=fn.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
report = Report()
history = model.fit(
    x, y, batch_size=16, epochs=2, verbose=0, validation_split=0.25, class_weight={0: 2.0},
    callbacks=[report, callbacks.EarlyStopping(patience=3, restore_best_weights=True)],
)  # fmt: skip
first_loss: float = history.history["loss"][0]
figures: dict[str, float] = model.evaluate(x, y, return_dict=True)
classes: np.ndarray = model.predict(x).argmax(axis=1)
model.summary()

for optimizer in (
    optimizers.SGD(half_after_100, momentum=0.9, nesterov=True),
    optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-2, global_clipnorm=1.0),
    optimizers.pytorch.Adam(lr=1e-3, betas=(0.9, 0.99), maximize=False, name="torch_like"),
    optimizers.get("rmsprop"),
):
    inputs = fn.Input((8,), name="features")
    hidden = layers.Dense(4, activation=layers.ELU(0.5))(inputs)
    outputs = layers.Dense(1, use_bias=False)(layers.Concatenate()([hidden, inputs]))
    functional = fn.Model(inputs, outputs, seed=1)
    functional.compile(optimizer, squares if optimizer.name == "sgd" else "mse", metrics=["mae"])
    functional.fit({"features": x}, y, epochs=1, verbose=0)

images = fn.Sequential([fn.Input((8, 8, 1)), layers.Conv2D(4, (3, 3), padding="same"), layers.MaxPooling2D(2), layers.Flatten()])
tokens = fn.Sequential([fn.Input((5,)), layers.Embedding(10, 4), layers.Bidirectional(layers.LSTM(3)), layers.Dense(1)])
parameters: int = images.count_params() + tokens.count_params()
for layer in model.layers:
    layer.trainable = False
weights: list[np.ndarray] = model.get_weights()
