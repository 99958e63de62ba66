"""An agent on a line walks to its end: a policy and a value from one network, trained on episodes with weights of the steps."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
num_states, num_actions, gamma, max_steps = 7, 2, 0.95, 30

inputs = layers.Input(shape=(num_states,))
common = layers.Dense(24, activation="relu")(inputs)
action = layers.Dense(num_actions, activation="softmax", name="action")(common)
critic = layers.Dense(1, name="critic")(common)
model = keras.Model(inputs=inputs, outputs=[action, critic])
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
    loss={"action": "sparse_categorical_crossentropy", "critic": keras.losses.Huber()},
    loss_weights={"action": 1.0, "critic": 0.5},
)


def episode():
    state, states, actions, rewards = 1, [], [], []
    for _ in range(max_steps):
        observation = np.eye(num_states, dtype="float32")[state]
        probabilities, _ = model.predict_on_batch(observation[None])
        choice = int(rng.random() < np.asarray(probabilities)[0, 1])
        state = max(0, state + (1 if choice else -1))
        states.append(observation)
        actions.append(choice)
        rewards.append(1.0 if state == num_states - 1 else -0.02)
        if state == num_states - 1:
            break
    return np.array(states), np.array(actions), rewards


lengths = []
for _ in range(120):
    states, actions, rewards = episode()
    returns, discounted = [], 0.0
    for reward in reversed(rewards):
        discounted = reward + gamma * discounted
        returns.insert(0, discounted)
    returns = np.array(returns, "float32")
    _, values = model.predict_on_batch(states)
    advantages = returns - np.asarray(values)[:, 0]
    model.train_on_batch(states, [actions, returns[:, None]], sample_weight=[advantages, np.ones(len(states), "float32")])
    lengths.append(len(states))
curve = [float(np.mean(lengths[i : i + 30])) for i in range(0, 120, 30)]
result = curve[-1]
print("steps of an episode:", curve)
