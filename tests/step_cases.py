"""Classes of models with steps of their own, in the public interface of Keras; tools/dump_keras_steps.py has run them with Keras.

`tape` makes a GradientTape, or is None for gradients in the way of PyTorch.
"""

import numpy as np

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(10, 3)).astype("float32"), RNG.normal(size=(10, 1)).astype("float32")
LABELS = RNG.integers(0, 3, 10)
ROW_WEIGHTS = RNG.uniform(0.5, 2, 10).astype("float32")
NOISE = RNG.normal(size=(10, 2)).astype("float32")


def set_weights(*models):
    rng = np.random.default_rng(1)
    for model in models:
        model.set_weights([rng.normal(0, 0.5, np.shape(one)).astype("float32") for one in model.get_weights()])


def dense(keras, *widths, **options):
    layers = [keras.layers.Dense(width, "tanh", **options) for width in widths[1:-1]]
    return keras.Sequential([keras.Input((widths[0],)), *layers, keras.layers.Dense(widths[-1])])


def update(tape, model, loss_of, optimizer):
    """An update of the weights of a model by a loss."""
    if tape is None:
        model.zero_grad()
        loss = loss_of()
        loss.backward()
        gradients = [v.value.grad for v in model.trainable_weights]
    else:
        with tape() as recorded:
            loss = loss_of()
        gradients = recorded.gradient(loss, model.trainable_weights)
    if tape is None:
        optimizer.apply(gradients, model.trainable_weights)
    else:
        optimizer.apply_gradients(zip(gradients, model.trainable_weights))
    return loss


def functional(keras, tape):
    """The first class of Keras's guide, with weights of rows, penalties and metrics of compile."""

    class Custom(keras.Model):
        def train_step(self, data):
            x, y, sample_weight = data
            found = {}

            def loss_of():
                found["y_pred"] = self(x, training=True)
                return self.compute_loss(y=y, y_pred=found["y_pred"], sample_weight=sample_weight)

            loss = update(tape, self, loss_of, self.optimizer)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, found["y_pred"])
            return {m.name: m.result() for m in self.metrics}

    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(
        4, "tanh", kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer=keras.regularizers.L2(0.01)
    )
    model = Custom(inputs, keras.layers.Dense(1)(hidden(inputs)))
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse", metrics=["mae"])
    set_weights(model)
    history = model.fit(X, Y, sample_weight=ROW_WEIGHTS, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return {"loss": history["loss"], "mae": history["mae"]}, [model]


def inherited(keras, tape):
    """What changes the data and leaves the rest to the class; clipping; class numbers."""

    class Doubled(keras.Model):
        def train_step(self, data):
            x, y = data
            return super().train_step((x * 2.0, y))

        def test_step(self, data):
            x, y = data
            return super().test_step((x * 2.0, y))

    inputs = keras.Input((3,))
    model = Doubled(inputs, keras.layers.Dense(3)(keras.layers.Dense(5, "relu")(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.2, momentum=0.9, clipnorm=0.5), loss=loss, metrics=["accuracy"])
    set_weights(model)
    options = {"batch_size": 4, "epochs": 3, "shuffle": False, "verbose": 0, "validation_batch_size": 3}
    history = model.fit(X, LABELS, validation_data=(X[:7], LABELS[:7]), **options).history
    return {name: history[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}, [model]


def adversarial(keras, tape):
    """Two optimizers; rows that are concatenated; an activity regularizer that counts for nobody, as it is not asked for."""
    ops = keras.ops

    class GAN(keras.Model):
        def __init__(self, generator, discriminator):
            super().__init__()
            self.generator, self.discriminator = generator, discriminator
            self.d_tracker, self.score_tracker = keras.metrics.Mean(name="d"), keras.metrics.Mean(name="score")
            self.accuracy = keras.metrics.BinaryAccuracy(threshold=0.0)
            self.built = True

        @property
        def metrics(self):
            return [self.d_tracker, self.score_tracker, self.accuracy]

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

        def train_step(self, data):
            real, noise = data
            batch = ops.shape(real)[0]
            combined = ops.concatenate([self.generator(noise), real], axis=0)
            labels = ops.concatenate([ops.ones((batch, 1)), ops.zeros((batch, 1))], axis=0)
            found = {}

            def d_loss_of():
                found["scores"] = self.discriminator(combined)
                return self.loss_fn(labels, found["scores"])

            d_loss = update(tape, self.discriminator, d_loss_of, self.d_optimizer)

            def g_loss_of():
                return self.loss_fn(ops.zeros((batch, 1)), self.discriminator(self.generator(noise * 0.5)))

            g_loss = update(tape, self.generator, g_loss_of, self.g_optimizer)
            self.d_tracker.update_state(d_loss)
            self.score_tracker.update_state(found["scores"])
            self.accuracy.update_state(labels, found["scores"])
            return {"g_loss": g_loss, **{m.name: m.result() for m in self.metrics}}

    generator = dense(keras, 2, 4, 3, activity_regularizer=keras.regularizers.L2(0.5))
    discriminator = dense(keras, 3, 4, 1, kernel_regularizer=keras.regularizers.L2(0.5))
    gan = GAN(generator, discriminator)
    adam = keras.optimizers.Adam
    gan.compile(adam(0.02, beta_1=0.5), adam(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    set_weights(generator, discriminator)
    history = gan.fit(X, NOISE, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return {name: history[name] for name in ("g_loss", "d", "score", "binary_accuracy")}, [generator, discriminator]


CASES = {"functional": functional, "inherited": inherited, "adversarial": adversarial}


def critic(keras, tape):
    """One optimizer that makes several updates in a step, as the critic of a Wasserstein GAN does, and another once."""
    ops = keras.ops

    class Critic(keras.Model):
        def __init__(self, generator, critic):
            super().__init__()
            self.generator, self.critic, self.losses_of_critic = generator, critic, keras.metrics.Mean(name="c_loss")
            self.built = True

        @property
        def metrics(self):
            return [self.losses_of_critic]

        def compile(self, c_optimizer, g_optimizer):
            super().compile()
            self.c_optimizer, self.g_optimizer = c_optimizer, g_optimizer

        def train_step(self, data):
            real, noise = data
            for number in range(3):
                fake = self.generator(noise * (1.0 + number))

                def c_loss_of(fake=fake):
                    return ops.mean(self.critic(fake)) - ops.mean(self.critic(real))

                self.losses_of_critic.update_state(update(tape, self.critic, c_loss_of, self.c_optimizer))
            g_loss = update(tape, self.generator, lambda: -ops.mean(self.critic(self.generator(noise))), self.g_optimizer)
            return {"c_loss": self.losses_of_critic.result(), "g_loss": g_loss}

    generator, judge = dense(keras, 2, 4, 3), dense(keras, 3, 4, 1)
    model = Critic(generator, judge)
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 4, 0.5)
    model.compile(keras.optimizers.Adam(rate), keras.optimizers.RMSprop(0.01))
    set_weights(generator, judge)
    history = model.fit(X, NOISE, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return {name: history[name] for name in ("c_loss", "g_loss")}, [generator, judge]


def together(keras, tape):
    """Gradients of two losses at the same weights, by two tapes, before any update is made."""
    ops = keras.ops

    class Both(keras.Model):
        def __init__(self, generator, judge):
            super().__init__()
            self.generator, self.judge = generator, judge
            self.built = True

        def compile(self, g_optimizer, d_optimizer):
            super().compile()
            self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

        def losses_of(self, real, noise):
            fake = self.generator(noise)
            judged = self.judge(fake)
            return ops.mean(ops.square(judged - 1.0)), ops.mean(ops.square(judged)) + ops.mean(ops.square(self.judge(real) - 1.0))

        def train_step(self, data):
            g_weights, d_weights = self.generator.trainable_weights, self.judge.trainable_weights
            if tape is None:
                self.generator.zero_grad()
                self.judge.zero_grad()
                g_loss, d_loss = self.losses_of(*data)
                g_loss.backward(retain_graph=True)
                g_gradients = [v.value.grad.clone() if hasattr(v.value.grad, "clone") else v.value.grad for v in g_weights]
                self.generator.zero_grad()
                self.judge.zero_grad()
                d_loss.backward()
                d_gradients = [v.value.grad for v in d_weights]
            else:
                with tape() as g_tape, tape() as d_tape:
                    g_loss, d_loss = self.losses_of(*data)
                g_gradients, d_gradients = g_tape.gradient(g_loss, g_weights), d_tape.gradient(d_loss, d_weights)
            self.g_optimizer.apply(g_gradients, g_weights)
            self.d_optimizer.apply(d_gradients, d_weights)
            return {"g_loss": g_loss, "d_loss": d_loss}

    generator, judge = dense(keras, 2, 4, 3), dense(keras, 3, 4, 1)
    model = Both(generator, judge)
    model.compile(keras.optimizers.SGD(0.3), keras.optimizers.Adam(0.1))
    set_weights(generator, judge)
    history = model.fit(X, NOISE, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return {name: history[name] for name in ("g_loss", "d_loss")}, [generator, judge]


CASES.update({"critic": critic, "together": together})
