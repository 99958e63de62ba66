"""Adagrad, RMSprop and Adam, by their names."""

import fastnet as fn

(x, y), (x_test, y_test) = fn.datasets.load_digits()
for name in ("adagrad", "rmsprop", "adam"):
    model = fn.Sequential(
        [fn.Input((64,)), fn.layers.Dense(64, activation="relu"), fn.layers.Dense(10, activation="softmax")], seed=0
    )
    model.compile(optimizer=name, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x / 16, y, epochs=20, batch_size=32, verbose=0)
    loss, accuracy = model.evaluate(x_test / 16, y_test)
    print(f"{name}: loss {loss:.3f}, accuracy {accuracy:.3f}")
