"""What the functions of csrc/portable/quantized.c are to compute, written from the equations in its comments, an element at a time
in whole numbers of Python; and models at random, to compare with."""

import itertools

import numpy as np

import fastnet as fn


def clamp(q, lowest=-128, highest=127):
    return max(lowest, min(int(q), highest))


def requantize(total, multiplier, offset, shift, lowest=-128, highest=127):
    """total multiplier / 2^(32 + shift), with the zero and the half that are in `offset`, rounded down."""
    return clamp((total * multiplier + offset * 2**32) // 2 ** (32 + shift), lowest, highest)


def columns_of(kernel, width, units):
    """W, whose columns lie eight at a time, then one by one."""
    whole = units // 8 * 8
    tiles = [kernel[j * width : (j + 8) * width].reshape(width, 8) for j in range(0, whole, 8)]
    return np.concatenate([*tiles, kernel[whole * width :].reshape(units - whole, width).T], axis=1).astype(np.int64)


class Window:
    """A fnp_window, and of each output the taps that lie inside the image."""

    NAMES = (
        "height", "width", "channels", "out_height", "out_width", "filters", "window_height", "window_width", "stride_height",
        "stride_width", "dilation_height", "dilation_width", "top", "left", "groups",
    )  # fmt: skip

    def __init__(self, values):
        for name, value in zip(self.NAMES, values, strict=True):
            setattr(self, name, int(value))

    def outputs(self):
        return itertools.product(range(self.out_height), range(self.out_width))

    def patch(self, image, i, j, outside):
        """[taps][channels]; `outside` where there is no pixel."""
        taps = []
        for a, b in itertools.product(range(self.window_height), range(self.window_width)):
            v = i * self.stride_height - self.top + a * self.dilation_height
            u = j * self.stride_width - self.left + b * self.dilation_width
            inside = 0 <= v < self.height and 0 <= u < self.width
            taps.append(image[v, u] if inside else np.full(self.channels, outside))
        return np.array(taps)


def quantize(x, scale, shift, y, positions, width):
    for i, value in enumerate(x):
        q = x.dtype.type(value * scale[i % width]) + shift[i % width]
        y[i] = -128 if not q > 0 else 127 if q >= 255 else int(q) - 128


def dequantize(x, y, n, scale, zero):
    y[:] = y.dtype.type(scale) * (x.astype(np.int64) - zero).astype(y.dtype)


def sums(x, kernel, bias, positions, width, units):
    return x.astype(np.int64).reshape(positions, width) @ columns_of(kernel, width, units) + bias


def dense(x, kernel, bias, multiplier, y, positions, width, units, offset, shift, lowest, highest):
    for i, row in enumerate(sums(x, kernel, bias, positions, width, units)):
        for j, total in enumerate(row):
            y[i * units + j] = requantize(int(total), int(multiplier[j]), offset, shift, lowest, highest)


def dense_real(x, kernel, bias, scale, y, positions, width, units):
    y[:] = (scale * sums(x, kernel, bias, positions, width, units).astype(y.dtype)).reshape(-1)


def convolution(x, kernel, bias, multiplier, patch, y, window, zero, offset, shift, lowest, highest):
    w = Window(window)
    image, part, across = x.reshape(w.height, w.width, w.channels), w.filters // w.groups, w.channels // w.groups
    width, at = w.window_height * w.window_width * across, 0
    kernels = kernel.reshape(w.groups, part * width)
    for i, j in w.outputs():
        taps = w.patch(image, i, j, zero).astype(np.int64)
        for group in range(w.groups):
            rows = taps[:, group * across : (group + 1) * across].reshape(-1)
            totals = rows @ columns_of(kernels[group], width, part)
            for k in range(part):
                f = group * part + k
                y[at] = requantize(int(totals[k] + bias[f]), int(multiplier[f]), offset, shift, lowest, highest)
                at += 1


def depthwise_convolution(x, kernel, bias, multiplier, patch, y, window, zero, offset, shift, lowest, highest):
    w = Window(window)
    image, several, at = x.reshape(w.height, w.width, w.channels), w.filters // w.channels, 0
    kernels = kernel.reshape(w.filters, -1).astype(np.int64)
    for i, j in w.outputs():
        taps = w.patch(image, i, j, zero).astype(np.int64)
        for f in range(w.filters):
            total = int(taps[:, f // several] @ kernels[f] + bias[f])
            y[at] = requantize(total, int(multiplier[f]), offset, shift, lowest, highest)
            at += 1


def max_pooling(x, y, window):
    w = Window(window)
    image = x.reshape(w.height, w.width, w.channels)
    y[:] = np.array([w.patch(image, i, j, -128).max(0) for i, j in w.outputs()]).reshape(-1)


def average_pooling(x, y, window, zero, multiplier, offset, shift):
    w = Window(window)
    image = x.reshape(w.height, w.width, w.channels).astype(np.int64) - zero
    inside = np.ones((w.height, w.width, w.channels), np.int64)
    at = 0
    for i, j in w.outputs():
        n = int(w.patch(inside, i, j, 0)[:, 0].sum())
        for total in w.patch(image, i, j, 0).sum(0):
            y[at] = requantize(256 * int(total), multiplier // n, offset, shift)
            at += 1


def affine(x, multiplier, offset, y, positions, width, shift, lowest, highest):
    for i, q in enumerate(x):
        y[i] = clamp((int(q) * int(multiplier[i % width]) + int(offset[i % width])) // 2**shift, lowest, highest)


def add(x, x_1, y, n, multiplier, multiplier_1, offset, shift, lowest, highest):
    for i in range(n):
        y[i] = clamp((int(x[i]) * multiplier + int(x_1[i]) * multiplier_1 + offset) // 2**shift, lowest, highest)


def copy_lines(
    x, y, blocks, x_step, y_step, x_start, y_start, lines, x_line, y_line, run, multiplier, offset, shift
):  # fmt: skip
    for block, line, k in itertools.product(range(blocks), range(lines), range(run)):
        q = int(x[block * x_step + x_start + line * x_line + k])
        y[block * y_step + y_start + line * y_line + k] = clamp((q * multiplier + offset) // 2**shift)


def fill(y, n, value):
    y[:n] = value


def table(x, table, y, n):
    y[:] = table[x.astype(np.int64) + 128]


#: By the names that they have in C.
FUNCTIONS = {
    f"fnp_q_{function.__name__}": function
    for function in (
        quantize, dequantize, dense, dense_real, convolution, depthwise_convolution, max_pooling, average_pooling, affine, add,
        copy_lines, fill, table,
    )
}  # fmt: skip


# ---- models ------------------------------------------------------------------------------------------------


def randomize(model, random):
    """Numbers for all weights; variances are positive."""
    model.set_weights(
        [
            0.5 + random.random(array.shape) if "variance" in weight.name else random.normal(size=array.shape) / 2
            for weight, array in zip(model.weights, model.get_weights())
        ]
    )
    return model


def random_dense(seed):
    """A dense network with branches, normalisations and activations; it may have two inputs and outputs."""
    random, layers = np.random.default_rng(seed), fn.layers
    activations = ["relu", "relu6", "linear", "tanh", "sigmoid", "gelu", "leaky_relu", "hard_sigmoid"]
    pick = random.choice
    first = fn.Input((int(random.integers(1, 20)),))
    x = layers.Normalization(mean=0.3, variance=2.0)(first) if random.random() < 0.5 else first
    for _ in range(random.integers(1, 4)):
        units = int(random.integers(1, 30))
        y = layers.Dense(units, activation=str(pick(activations)), use_bias=bool(random.random() < 0.8))(x)
        kind = random.integers(0, 6)
        if kind == 0:
            y = layers.BatchNormalization()(y)
        elif kind == 1:
            y = layers.Add()([layers.Dense(units)(x), y, layers.Dense(units, activation="relu")(y)])
            y = layers.ReLU()(y)
        elif kind == 2:
            y = layers.Concatenate()([y, x, layers.BatchNormalization()(layers.Dense(3)(x))])
        elif kind == 3:
            y = layers.Activation("relu")(layers.BatchNormalization(scale=False)(layers.Dense(units)(y)))
        elif kind == 4:
            y = layers.Dropout(0.3)(y)
        x = y
    ends = [layers.Dense(int(random.integers(1, 12)), activation=str(pick(["softmax", "linear", "sigmoid", "relu"])))(x)]
    if random.random() < 0.3:
        ends.append(x)
    return randomize(fn.Model(first, ends, seed=seed), random)


def random_convolution(seed):
    """A convolutional network over images or series, with pooling, padding and branches."""
    random, layers = np.random.default_rng(seed), fn.layers
    flat = random.random() < 0.3

    def size(low, high):
        n = int(random.integers(low, high))
        return n if flat else (n, int(random.integers(low, high)))

    convolution, depthwise = (layers.Conv1D, layers.DepthwiseConv1D) if flat else (layers.Conv2D, layers.DepthwiseConv2D)
    most, mean = (layers.MaxPooling1D, layers.AveragePooling1D) if flat else (layers.MaxPooling2D, layers.AveragePooling2D)
    channels = int(random.choice([1, 2, 3, 4]))
    first = fn.Input((int(random.integers(6, 12)), channels) if flat else (*(int(n) for n in random.integers(5, 9, 2)), channels))
    x = layers.Rescaling(0.7, 0.1)(first) if random.random() < 0.5 else first
    for _ in range(random.integers(1, 4)):
        activation, padding = str(random.choice(["relu", "relu6", "linear", "silu"])), str(random.choice(["same", "valid"]))
        kind = random.integers(0, 7)
        narrow = min(x.shape[1:-1]) < 3
        if kind == 0:
            x = depthwise(size(1, 4), depth_multiplier=int(random.integers(1, 3)), padding="same", activation=activation)(x)
        elif kind == 1:
            x = (layers.ZeroPadding1D if flat else layers.ZeroPadding2D)(1)(x)
        elif kind == 2:
            x = most(size(1, 4), strides=int(random.integers(1, 3)), padding="same")(x)
        elif kind == 3:
            x = mean(size(1, 4), strides=int(random.integers(1, 3)), padding="same")(x)
        elif kind == 4:
            y = convolution(x.shape[-1], size(1, 3), padding="same", activation=activation)(x)
            x = layers.Add()([x, y]) if random.random() < 0.5 else layers.Concatenate()([x, y])
        elif kind == 5:
            x = convolution(2 * x.shape[-1], size(1, 3), groups=x.shape[-1], padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        else:
            dilated = {"dilation_rate": 2} if random.random() < 0.3 else {"strides": int(random.integers(1, 3))}
            padding = "same" if narrow else padding
            x = convolution(int(random.integers(1, 19)), size(1, 3), padding=padding, activation=activation, **dilated)(x)
    if random.random() < 0.3:
        x = layers.BatchNormalization()(x)
    kind = random.integers(0, 3)
    if kind == 0:
        x = (layers.GlobalAveragePooling1D if flat else layers.GlobalAveragePooling2D)()(x)
    elif kind == 1:
        x = (layers.GlobalMaxPooling1D if flat else layers.GlobalMaxPooling2D)()(x)
    else:
        x = layers.Flatten()(x)
    products = any("kernel" in weight.name for weight in fn.Model(first, x).weights)
    if random.random() < 0.7 or not products:
        x = layers.Dense(int(random.integers(1, 12)), activation="softmax")(x)
    else:
        x = layers.Softmax()(x)
    return randomize(fn.Model(first, x, seed=seed), random)
