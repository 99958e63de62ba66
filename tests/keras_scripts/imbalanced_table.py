"""Rare events in a table: class weights, counts of right and wrong decisions."""

import keras
import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

keras.utils.set_random_seed(0)

features, targets = make_classification(
    n_samples=2500, n_features=12, n_informative=6, weights=[0.94], class_sep=1.5, flip_y=0.01, random_state=1
)
targets = targets.reshape(-1, 1).astype("uint8")
train_x, val_x, train_y, val_y = train_test_split(features.astype("float32"), targets, random_state=2, stratify=targets)
mean, std = train_x.mean(axis=0), train_x.std(axis=0)
train_x, val_x = (train_x - mean) / std, (val_x - mean) / std

counts = np.bincount(train_y[:, 0])
class_weight = {0: 1.0 / counts[0], 1: 1.0 / counts[1]}
print(f"{counts[1]} of {counts.sum()} are positive")

model = keras.Sequential(
    [
        keras.Input(shape=train_x.shape[1:]),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
metrics = [
    keras.metrics.FalseNegatives(name="fn"),
    keras.metrics.FalsePositives(name="fp"),
    keras.metrics.TrueNegatives(name="tn"),
    keras.metrics.TruePositives(name="tp"),
    keras.metrics.Precision(name="precision"),
    keras.metrics.Recall(name="recall"),
]
model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=metrics)
history = model.fit(
    train_x, train_y, batch_size=256, epochs=8, verbose=0, validation_data=(val_x, val_y), class_weight=class_weight
)
scores = model.evaluate(val_x, val_y, verbose=0, return_dict=True)
assert scores["fn"] + scores["fp"] + scores["tn"] + scores["tp"] == len(val_y)
print({name: round(float(value), 3) for name, value in scores.items()})

curve = [1000 * value for value in history.history["loss"]]
result = scores["recall"]
