"""Handwritten digits by a dense network: labels as numbers, early stopping, a report on the test part."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

keras.utils.set_random_seed(0)

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x.astype("float32") / 16.0, y, test_size=0.25, random_state=0)

model = keras.Sequential(
    [
        keras.Input(shape=(64,)),
        layers.Dense(64, activation="relu", kernel_initializer="he_normal"),
        layers.BatchNormalization(),
        layers.Dropout(0.2),
        layers.Dense(32, activation=keras.activations.relu),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.002),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True)
history = model.fit(x_train, y_train, batch_size=32, epochs=8, validation_data=(x_test, y_test), callbacks=[stop], verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
classes = np.argmax(model.predict(x_test, verbose=0), axis=-1)
assert abs(float(np.mean(classes == y_test)) - accuracy) < 1e-5
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}, {model.count_params()} parameters")

curve = history.history["loss"]
result = accuracy
