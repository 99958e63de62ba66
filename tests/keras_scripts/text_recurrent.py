"""Sentences of words that matter and words that do not, padded to one length, by a bidirectional LSTM over embeddings."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
max_features, maxlen = 60, 16

rng = np.random.default_rng(0)
texts, labels = [], []
for _ in range(800):
    label = int(rng.integers(0, 2))
    words = rng.integers(11, max_features, rng.integers(5, 20)).tolist()
    for _ in range(2):
        words[int(rng.integers(0, len(words)))] = int(rng.integers(1, 6) if label else rng.integers(6, 11))
    texts.append(words)
    labels.append(label)
x = keras.utils.pad_sequences(texts, maxlen=maxlen)
y = np.array(labels)

inputs = keras.Input(shape=(maxlen,), dtype="int32")
h = layers.Embedding(max_features, 16)(inputs)
h = layers.Bidirectional(layers.LSTM(12, return_sequences=True))(h)
h = layers.Bidirectional(layers.LSTM(12))(h)
outputs = layers.Dense(1, activation="sigmoid")(h)
model = keras.Model(inputs, outputs)
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
history = model.fit(x[:600], y[:600], batch_size=32, epochs=5, validation_data=(x[600:], y[600:]), verbose=0)

curve = history.history["loss"]
result = history.history["val_accuracy"][-1]
