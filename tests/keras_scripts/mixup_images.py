"""Digits mixed with each other and their labels likewise: mixing in NumPy, epoch by epoch."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

images, numbers = load_digits(return_X_y=True)
images = images.astype("float32").reshape(-1, 8, 8, 1) / 16
labels = keras.utils.to_categorical(numbers, 10)
x_train, y_train, x_val, y_val = images[:1400], labels[:1400], images[1400:], labels[1400:]


def mix_up(x, y, alpha=0.2):
    order = rng.permutation(len(x))
    share = rng.beta(alpha, alpha, len(x)).astype("float32")
    images = x * share[:, None, None, None] + x[order] * (1 - share)[:, None, None, None]
    return images, y * share[:, None] + y[order] * (1 - share)[:, None]


def get_training_model():
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, (3, 3), activation="relu", padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(32, (3, 3), activation="relu", padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


initial_model = get_training_model()
model = keras.models.clone_model(initial_model)
model.set_weights(initial_model.get_weights())
model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.005), metrics=["accuracy"])
curve = []
for epoch in range(6):
    mixed_x, mixed_y = mix_up(x_train, y_train)
    history = model.fit(mixed_x, mixed_y, batch_size=64, epochs=1, verbose=0)
    curve += history.history["loss"]
_, result = model.evaluate(x_val, y_val, verbose=0)
print(f"accuracy on clean digits: {result:.3f}")
