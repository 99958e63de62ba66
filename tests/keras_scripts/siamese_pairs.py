"""Whether two digits are the same, from the distance of their embeddings: shared layers, a loss and a metric of one's own."""

import keras
import numpy as np
from keras import ops
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)

data, target = load_digits(return_X_y=True)
data = data.astype("float32") / 16


def make_pairs(x, y, n, seed):
    rng = np.random.default_rng(seed)
    pairs, labels = [], []
    for i in rng.integers(0, len(x), n):
        same = rng.random() < 0.5
        others = np.flatnonzero((y == y[i]) == same)
        pairs.append([x[i], x[rng.choice(others)]])
        labels.append(float(not same))
    return np.array(pairs), np.array(labels, "float32")


pairs, labels = make_pairs(data[:1400], target[:1400], 1500, 0)
test_pairs, test_labels = make_pairs(data[1400:], target[1400:], 400, 1)


def euclidean_distance(vectors):
    a, b = vectors
    return ops.sqrt(ops.maximum(ops.sum(ops.square(a - b), axis=1, keepdims=True), 1e-7))


def contrastive(margin=1.0):
    def contrastive_loss(y_true, y_pred):
        return (1 - y_true) * ops.square(y_pred) + y_true * ops.square(ops.maximum(margin - y_pred, 0.0))

    return contrastive_loss


base_input = keras.layers.Input((64,))
x = keras.layers.Dense(32, activation="relu")(base_input)
x = keras.layers.Dense(8)(x)
embedding = keras.Model(base_input, x)

left, right = keras.layers.Input((64,)), keras.layers.Input((64,))
distance = keras.layers.Lambda(euclidean_distance, output_shape=(1,))([embedding(left), embedding(right)])
siamese = keras.Model(inputs=[left, right], outputs=distance)
siamese.compile(loss=contrastive(1.0), optimizer="RMSprop", metrics=["mae"])
history = siamese.fit([pairs[:, 0], pairs[:, 1]], labels, batch_size=32, epochs=6, verbose=0,
                      validation_data=([test_pairs[:, 0], test_pairs[:, 1]], test_labels))  # fmt: skip
distances = siamese.predict([test_pairs[:, 0], test_pairs[:, 1]], verbose=0)
result = float(np.mean((distances[:, 0] > 0.5) == (test_labels > 0.5)))
print(f"pairs told apart: {result:.3f}")
curve = history.history["loss"]
