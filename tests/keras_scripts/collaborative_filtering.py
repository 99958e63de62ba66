"""Ratings from embeddings of users and films, in a model class of one's own."""

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(0)

num_users, num_movies, n = 60, 80, 3000
rng = np.random.default_rng(3)
tastes, kinds = rng.normal(size=(num_users, 3)), rng.normal(size=(num_movies, 3))
users, movies = rng.integers(0, num_users, n), rng.integers(0, num_movies, n)
scores = np.sum(tastes[users] * kinds[movies], axis=1)
x = np.stack([users, movies], axis=1)
y = (1 / (1 + np.exp(-scores))).astype("float32")
x_train, x_val, y_train, y_val = x[:2700], x[2700:], y[:2700], y[2700:]


class RecommenderNet(keras.Model):
    def __init__(self, num_users, num_movies, embedding_size, **kwargs):
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.user_embedding = layers.Embedding(
            num_users, embedding_size, embeddings_initializer="he_normal", embeddings_regularizer=keras.regularizers.l2(1e-6)
        )
        self.user_bias = layers.Embedding(num_users, 1)
        self.movie_embedding = layers.Embedding(
            num_movies, embedding_size, embeddings_initializer="he_normal", embeddings_regularizer=keras.regularizers.l2(1e-6)
        )
        self.movie_bias = layers.Embedding(num_movies, 1)

    def call(self, inputs):
        user, movie = inputs[:, 0], inputs[:, 1]
        match = ops.sum(self.user_embedding(user) * self.movie_embedding(movie), axis=1, keepdims=True)
        return ops.sigmoid(match + self.user_bias(user) + self.movie_bias(movie))


model = RecommenderNet(num_users, num_movies, 6)
model.compile(loss=keras.losses.BinaryCrossentropy(), optimizer=keras.optimizers.Adam(learning_rate=0.01))
history = model.fit(x=x_train, y=y_train, batch_size=64, epochs=6, verbose=0, validation_data=(x_val, y_val))
unseen = np.stack([np.zeros(num_movies, int), np.arange(num_movies)], axis=1)
best = model.predict(unseen, verbose=0).flatten().argsort()[-5:][::-1]
print("best films of user 0:", best)

curve = history.history["loss"]
result = history.history["val_loss"][-1]
