"""Steps of several updates that `distribution_worker.py` has several processes make."""

import functools

import numpy as np

import fastnet as fn

layers, ops, Adam = fn.layers, fn.ops, fn.optimizers.Adam
RANDOM = np.random.default_rng(11)
REAL, NOISE, LABELS = RANDOM.normal(2, 1, (50, 5)), RANDOM.normal(size=(50, 3)), RANDOM.integers(0, 2, (50, 1))


def net(n, *widths, seed, dtype="float64", between=(), **options):
    hidden = [one for width in widths[:-1] for one in (layers.Dense(width, "tanh", **options), *between)]
    return fn.Sequential([fn.Input((n,)), *hidden, layers.Dense(widths[-1])], seed=seed, dtype=dtype)


def gan(rank, width=8, dtype="float64", between=(), every=None, optimizers=None, **options):
    """A generator and a critic, as a TrainStep."""
    generator = net(3, width, 5, seed=rank, dtype=dtype, between=between)
    critic = net(5, width, 1, seed=rank + 10, dtype=dtype, **options)

    def function(real, noise):
        fake = generator(noise)
        judge = ops.softplus(-critic(real)) + ops.softplus(critic(fake))
        return {"critic": (judge, critic), "generator": (ops.softplus(-critic(fake)), generator)}

    step = fn.TrainStep(function, [(5,), (3,)], seed=rank)
    step.compile(optimizers or {"critic": Adam(0.01, clipnorm=0.5), "generator": Adam(0.02)}, every=every)
    return step, [generator, critic], ([REAL, NOISE],)


def noisy_gan(rank):
    between = (layers.BatchNormalization(), layers.Dropout(0.2))
    return gan(rank, dtype="float32", between=between, kernel_regularizer="l2")


def rare_gan(rank):
    optimizers = {
        "critic": fn.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2, use_ema=True, weight_decay=1e-3),
        "generator": Adam(fn.schedules.CosineDecay(0.02, 20)),
    }
    return gan(rank, every={"generator": 3}, optimizers=optimizers)


def wide_gan(rank):
    """Of so many weights that each process updates a part of them; the critic's whole, as a norm is looked at."""
    between = (layers.BatchNormalization(),)
    return gan(rank, width=4000, dtype="float32", between=between, kernel_regularizer="l2")


def frozen_gan(rank):
    """The sections of one update hold no weights of the other."""
    return gan(rank, width=4000, optimizers={"critic": Adam(0.001, use_ema=True), "generator": fn.optimizers.RMSprop(0.001)})


def contrastive(rank):
    """A loss of one's own."""
    encoder = net(5, 9, 3, seed=rank)

    def function(a, b, same):
        square = ops.sum((encoder(a) - encoder(b)) ** 2, axis=-1, keepdims=True)
        apart = ops.maximum(1 - ops.sqrt(square + 1e-9), 0) ** 2
        return {"encoder": (same * square + (1 - same) * apart, encoder)}

    step = fn.TrainStep(function, [(5,), (5,), (1,)], seed=rank)
    step.compile("adam")
    return step, [encoder], ([REAL, REAL[::-1] + 1, LABELS],)


class VAE(fn.Model):
    """As in Keras's examples."""

    def __init__(self, rank, draws=True):
        super().__init__(seed=rank, dtype="float64")
        self.encoder, self.decoder = net(5, 9, 4, seed=rank), net(2, 9, 5, seed=rank + 10)
        self.draws = draws
        self.total, self.kl = fn.metrics.Mean(name="loss"), fn.metrics.Mean(name="kl_loss")

    def train_step(self, data):
        with fn.GradientTape() as tape:
            both = self.encoder(data)
            mean, log = both[:, :2], both[:, 2:]
            sample = mean
            if self.draws:
                sample = mean + ops.exp(0.5 * log) * fn.random.normal(ops.shape(mean))
            rebuilt = self.decoder(sample)
            rebuild = ops.mean(ops.sum((data - rebuilt) ** 2, axis=1))
            kl = ops.mean(-0.5 * ops.sum(1 + log - mean**2 - ops.exp(log), axis=1))
            loss = rebuild + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
        self.total.update_state(loss)
        self.kl.update_state(kl)
        return {"loss": self.total.result(), "kl_loss": self.kl.result(), "last": rebuild}


def vae(rank, draws=True):
    model = VAE(rank, draws)
    model.compile(Adam(0.01))
    return model, [model.encoder, model.decoder], (REAL,)


class Pair(fn.Model):
    """A generator and a critic with a train_step: gradients one after another, or all before the first update."""

    def __init__(self, rank, together, between=()):
        super().__init__(seed=rank, dtype="float64")
        self.generator = net(3, 8, 5, seed=rank, between=between)
        self.critic = net(5, 8, 1, seed=rank + 10)
        self.together = together
        self.fooled = fn.metrics.BinaryAccuracy(name="fooled", threshold=0.0)
        self.area = fn.metrics.AUC(name="area", from_logits=True)

    def compile(self, c_optimizer, g_optimizer, **options):
        super().compile(**options)
        self.c_optimizer, self.g_optimizer = c_optimizer, g_optimizer

    def train_step(self, data):
        real, noise = data[0]
        ones, zeros = ops.ones((ops.shape(real)[0], 1)), ops.zeros((ops.shape(real)[0], 1))
        loss = fn.losses.BinaryCrossentropy(from_logits=True)
        if self.together:
            with fn.GradientTape() as c_tape, fn.GradientTape() as g_tape:
                fake = self.generator(noise, training=True)
                judged, known = self.critic(fake), self.critic(real)
                c_loss = loss(ones, known) + loss(zeros, judged)
                g_loss = loss(ones, judged)
            c_gradients = c_tape.gradient(c_loss, self.critic.trainable_weights)
            g_gradients = g_tape.gradient(g_loss, self.generator.trainable_weights)
            self.c_optimizer.apply_gradients(zip(c_gradients, self.critic.trainable_weights))
            self.g_optimizer.apply_gradients(zip(g_gradients, self.generator.trainable_weights))
        else:
            for _ in range(2):
                with fn.GradientTape() as tape:
                    both = ops.concatenate([self.generator(noise), real], axis=0)
                    judged = self.critic(both)
                    labels = ops.concatenate([zeros, ones], axis=0)
                    c_loss = loss(labels, judged)
                gradients = tape.gradient(c_loss, self.critic.trainable_weights)
                self.c_optimizer.apply_gradients(zip(gradients, self.critic.trainable_weights))
            self.area.update_state(labels, judged)
            with fn.GradientTape() as tape:
                judged = self.critic(self.generator(noise))
                g_loss = loss(ones, judged)
            gradients = tape.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply_gradients(zip(gradients, self.generator.trainable_weights))
        self.fooled.update_state(ones, judged)
        found = {"c_loss": c_loss, "g_loss": g_loss, "fooled": self.fooled.result()}
        return found if self.together else {**found, "area": self.area.result()}


def pair(rank, together=False, between=()):
    model = Pair(rank, together, between)
    model.compile(Adam(0.01), fn.optimizers.SGD(0.1, momentum=0.9))
    return model, [model.generator, model.critic], ([REAL, NOISE],)


def pair_together(rank):
    return pair(rank, True)


def pair_normalized(rank):
    """Both updates move the statistics of one layer."""
    return pair(rank, True, (layers.BatchNormalization(momentum=0.7),))


def synchronized_gan(rank):
    """A layer that looks at whole batches, through which both updates go; and beside it one that moves no statistics."""
    normal = functools.partial(layers.BatchNormalization, momentum=0.7, synchronized=True)
    return gan(rank, between=(normal(), normal(trainable=False)))


def synchronized_pair(rank):
    return pair(rank, between=(layers.BatchNormalization(momentum=0.7, synchronized=True),))


def wide_synchronized_gan(rank):
    return gan(rank, width=4000, dtype="float32", between=(layers.BatchNormalization(synchronized=True),))


class Classifier(fn.Model):
    """What compile was told, in a train_step; and sums over the rows of a batch in place of means."""

    def __init__(self, rank, way):
        super().__init__(seed=rank, dtype="float64")
        self.hidden = layers.Dense(6, "tanh", kernel_regularizer="l2")
        self.last = layers.Dense(1)
        self.way = way

    def call(self, x):
        return self.last(self.hidden(x))

    def train_step(self, data):
        x, y = data[:2]
        if self.way == "super":
            return super().train_step(data)
        y_pred = self(x, training=True)
        if self.way == "sum":
            loss = 0.01 * ops.sum((y - y_pred) ** 2) + ops.mean(y_pred**2)
        else:
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        self.zero_grad()
        loss.backward()
        weights = list(self.trainable_weights)
        self.optimizer.apply([weight.value.grad for weight in weights], weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def classifier(rank, way):
    model = Classifier(rank, way)
    loss = fn.losses.BinaryCrossentropy(from_logits=True)
    model.compile(Adam(0.02), loss, metrics=[fn.metrics.AUC(name="area", from_logits=True), "mae"])
    return model, [model], (REAL, LABELS.astype(float))


def added_sums(rank):
    """A model with a sum over the rows in its loss, and without a train_step."""

    class Adds(fn.Model):
        def __init__(self):
            super().__init__(seed=rank, dtype="float64")
            self.inner = net(5, 6, 1, seed=rank)

        def call(self, x):
            y = self.inner(x)
            self.add_loss(0.01 * ops.sum(y**2))
            return y

    model = Adds()
    model.compile(Adam(0.02), "mse")
    return model, [model], (REAL, LABELS.astype(float))


class OneLayer(fn.Model):
    """A normalization that both of two updates look through, whose gradients are taken before the first is made."""

    def __init__(self):
        super().__init__(seed=0, dtype="float64")
        self.normal = layers.BatchNormalization(momentum=0.7)
        self.a, self.b = layers.Dense(1), layers.Dense(1)

    def train_step(self, x):
        with fn.GradientTape() as a_tape, fn.GradientTape() as b_tape:
            y = self.normal(x, training=True)
            a, b = self.a(y), self.b(y)
            a_loss, b_loss = ops.mean((a - b) ** 2), ops.mean((a + b) ** 2)
        a_weights = [*self.a.trainable_weights, *self.normal.trainable_weights]
        a_gradients = a_tape.gradient(a_loss, a_weights)
        b_gradients = b_tape.gradient(b_loss, self.b.trainable_weights)
        self.a_optimizer.apply_gradients(zip(a_gradients, a_weights))
        self.b_optimizer.apply_gradients(zip(b_gradients, self.b.trainable_weights))
        return {"a": a_loss, "b": b_loss}


def pair_of_one_layer():
    model = OneLayer()
    model.compile()
    model.a_optimizer, model.b_optimizer = fn.optimizers.SGD(0.1), fn.optimizers.SGD(0.1)
    return model


def two_updates(what):
    """A step of which the second update fails with the second of two batches: by its loss, or its gradient alone."""
    models = [fn.Sequential([fn.Input((3,)), layers.Dense(1, kernel_initializer="zeros", name=n)], seed=0) for n in "ab"]

    def function(x, z, scale):
        a, b = models[0](x), models[1](z)
        second = b * scale if what == "gradient" else ops.square(b - scale)
        return {"first": (ops.square(a - 1), models[0]), "second": (second, models[1])}

    step = fn.TrainStep(function, [(3,), (3,), (1,)], seed=0)
    step.compile({"first": Adam(0.01), "second": fn.optimizers.SGD(1e-30 if what == "gradient" else 0.1, momentum=0.9)})
    random = np.random.default_rng(5)
    good = [random.normal(size=(30, 3)), random.normal(size=(30, 3)), random.normal(size=(30, 1))]
    bad = [array.copy() for array in good]
    bad[1][20, 1], bad[2][20] = (1e20 if what == "gradient" else 1), 1e25
    return step, models, good, bad


def differ(what, rank):
    """Trains what is not the same in process 1."""
    other = rank == 1

    class Fails(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if other and epoch == 1:
                raise ZeroDivisionError("in a callback of process 1")

    class Metric(fn.metrics.Mean):
        calls = 0

        def update_state(self, values, sample_weight=None):
            Metric.calls += 1
            if Metric.calls == 4 and other:
                raise ArithmeticError("in a metric of process 1")
            super().update_state(values)

    if what == "train_step":
        model, _, data = classifier(rank, "sum" if other else "torch")
        model.fit(*data, verbose=0)
    elif what == "metric":
        model, _, data = vae(rank)
        model.total = Metric(name="loss")
        model.fit(*data, batch_size=16, verbose=0)
    elif what == "optimizer":
        step, _, data = gan(rank, optimizers={"critic": "sgd" if other else "adam", "generator": "adam"})
        step.train_on_batch(*data)
    elif what == "every":
        step, _, data = gan(rank, every={"generator": 2 + rank})
        step.fit(*data, verbose=0)
    elif what == "rows":
        step, _, data = gan(rank)
        step.train_on_batch([array[rank:] for array in data[0]])
    elif what == "rate":
        step, _, data = gan(rank)
        step.train_on_batch(*data)
        if other:
            step.optimizers["generator"].learning_rate = 0.5

        class Changes(fn.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                step.optimizers["generator"].learning_rate = 0.1 * (1 + rank)

        step.fit(*data, verbose=0, callbacks=[Changes()])
    elif what == "callback":
        step, _, data = gan(rank)
        step.fit(*data, verbose=0, epochs=3, callbacks=[Fails()])
    elif what == "constraint":
        inner = fn.Sequential([fn.Input((5,)), layers.Dense(1, kernel_constraint=lambda w: np.asarray(w) * 0.5)], seed=0)
        step = fn.TrainStep(lambda x: {"a": (ops.square(inner(x)), inner)}, [(5,)], seed=0)
        step.compile("sgd")
        step.fit(REAL, verbose=0)


def batches_of(arrays):
    """Batches of other sizes, for two epochs."""
    for first, end in ((0, 20), (20, 33), (33, 50)) * 2:
        yield tuple(array[first:end] for array in arrays) if isinstance(arrays, list) else arrays[first:end]


#: By name: what makes the step or model for the process of a rank, and whether training is that of one process, but for rounding.
CASES = {
    "gan": (gan, True),
    "noisy gan": (noisy_gan, False),
    "rare gan": (rare_gan, True),
    "wide gan": (wide_gan, False),
    "frozen gan": (frozen_gan, True),
    "stream of a gan": (gan, True),
    "stream of a vae": (lambda rank: vae(rank, False), True),
    "contrastive": (contrastive, True),
    "vae": (vae, False),
    "vae without noise": (lambda rank: vae(rank, False), True),
    "synchronized gan": (synchronized_gan, True),
    "synchronized pair": (synchronized_pair, True),
    "wide synchronized gan": (wide_synchronized_gan, False),
    "pair": (pair, True),
    "pair together": (pair_together, True),
    "pair normalized": (pair_normalized, False),
    "super": (lambda rank: classifier(rank, "super"), True),
    "torch": (lambda rank: classifier(rank, "torch"), True),
    "sum": (lambda rank: classifier(rank, "sum"), True),
    "added sums": (added_sums, True),
}
