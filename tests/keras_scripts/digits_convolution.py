"""Handwritten digits by a convolutional network: one-hot labels, a validation split."""

import keras
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from keras.models import Sequential
from keras.utils import to_categorical
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)

digits = load_digits()
images = digits.images.reshape(-1, 8, 8, 1).astype("float32") / 16
labels = to_categorical(digits.target, 10)

model = Sequential()
model.add(Input((8, 8, 1)))
model.add(Conv2D(16, (3, 3), padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Conv2D(32, (3, 3), activation="relu"))
model.add(Flatten())
model.add(Dropout(0.3))
model.add(Dense(10, activation="softmax"))

model.compile(loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.RMSprop(0.002), metrics=["acc"])
history = model.fit(images, labels, batch_size=64, epochs=6, verbose=0, validation_split=0.15)
score = model.evaluate(images[-270:], labels[-270:], verbose=0)
print("validation loss:", score[0], "accuracy:", score[1])
print([layer.name for layer in model.layers], model.output_shape)

curve = history.history["loss"]
result = history.history["val_acc"][-1]
