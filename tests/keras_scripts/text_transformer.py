"""The same kind of sentences by a transformer block: layers of one's own with attention, and embeddings of tokens and places."""

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(0)
vocab_size, maxlen, embed_dim, num_heads, ff_dim = 60, 16, 16, 2, 32


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs, training=None):
        attn_output = self.att(inputs, inputs)
        out1 = self.layernorm1(inputs + self.dropout1(attn_output, training=training))
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1), training=training))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = self.add_weight(shape=(maxlen, embed_dim), initializer="random_normal", name="positions")

    def call(self, x):
        return self.token_emb(x) + self.pos_emb


rng = np.random.default_rng(1)
x = rng.integers(11, vocab_size, (900, maxlen))
y = rng.integers(0, 2, 900)
for row, label in zip(x, y):
    row[rng.integers(0, maxlen, 2)] = rng.integers(1, 6, 2) if label else rng.integers(6, 11, 2)

inputs = layers.Input(shape=(maxlen,))
h = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)(inputs)
h = TransformerBlock(embed_dim, num_heads, ff_dim)(h)
h = layers.GlobalAveragePooling1D()(h)
h = layers.Dropout(0.1)(h)
outputs = layers.Dense(2, activation="softmax")(h)
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x[:700], y[:700], batch_size=32, epochs=6, validation_data=(x[700:], y[700:]), verbose=0)
assert ops.shape(model.outputs[0])[1] == 2

curve = history.history["loss"]
result = history.history["val_accuracy"][-1]
