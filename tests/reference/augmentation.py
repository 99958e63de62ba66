"""Random changes of images: drawn as the kernels do, for the first node of a plan in step 0 of a model with seed 0."""

import numpy as np

from reference.operations import Op, philox, random_normals

CONSTANT, NEAREST, REFLECT, WRAP = range(4)


def image_numbers(rows, seed=-1, model_seed=0, node=0, step=0):
    """[rows][8] numbers between 0 and 1."""
    key = model_seed if seed < 0 else (int(seed) + 1) * 0x9E3779B97F4A7C15 % 2**64
    blocks = [philox(key, 2 << 56 | node << 32 | 2**31 | block, step) for block in range(2 * rows)]
    return (np.array(blocks, float).reshape(rows, 8) + 0.5) / 2**32


def between(low, high, number):
    return low + (high - low) * number


def find_pixel(i, size, fill):
    """Which pixel of an axis stands for number i; None: none."""
    if 0 <= i < size:
        return i
    return {
        CONSTANT: None,
        NEAREST: 0 if i < 0 else size - 1,
        REFLECT: min(i % (2 * size), 2 * size - 1 - i % (2 * size)),
        WRAP: i % size,
    }[fill]


def affine_map(
    number,
    height,
    width,
    horizontal=0,
    vertical=0,
    rotation_low=0,
    rotation_high=0,
    down_low=0,
    down_high=0,
    right_low=0,
    right_high=0,
    zoom_rows_low=0,
    zoom_rows_high=0,
    zoom_columns_low=0,
    zoom_columns_high=0,
    same_zoom=0,
    **others,
):
    """(matrix, shift, centre): the place of a pixel p is centre + matrix (p - centre - shift)."""
    turn = 2 * np.pi * between(rotation_low, rotation_high, number[2])
    shift = np.array([height * between(down_low, down_high, number[3]), width * between(right_low, right_high, number[4])])
    rows = 1 + between(zoom_rows_low, zoom_rows_high, number[5])
    columns = rows if same_zoom else 1 + between(zoom_columns_low, zoom_columns_high, number[6])
    signs = [-1 if vertical and number[1] < 0.5 else 1, -1 if horizontal and number[0] < 0.5 else 1]
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    return np.diag(signs) @ np.diag([rows, columns]) @ rotation, shift, centre


def taps(place, height, width, fill, bilinear):
    """[(row, column) or None, share] of the pixels that a place is made of."""
    if not bilinear:
        found = [(np.floor(place + 0.5).astype(int), 1.0)]
    else:
        low = np.floor(place).astype(int)
        below, beside = place - low
        found = [(low + [a, b], (below if a else 1 - below) * (beside if b else 1 - beside)) for a in (0, 1) for b in (0, 1)]
    pixels = [((find_pixel(v, height, fill), find_pixel(u, width, fill)), share) for (v, u), share in found]
    return [(None if None in pixel else pixel, share) for pixel, share in pixels]


def affine_taps(x, seed=-1, fill=CONSTANT, bilinear=1, **attributes):
    """(sample, row, column, pixel or None, share) of everything that the result is made of."""
    rows, height, width, _ = x.shape
    for n, number in enumerate(image_numbers(rows, seed)):
        matrix, shift, centre = affine_map(number, height, width, **attributes)
        for h in range(height):
            for w in range(width):
                place = centre + matrix @ (np.array([h, w]) - centre - shift)
                if np.abs(place - np.round(place)).max() < 1e-9:
                    place = np.round(place)  # where the order of rounding would decide
                for pixel, share in taps(place, height, width, int(fill), bilinear):
                    yield n, h, w, pixel, share


def random_affine(inputs, parameters, fill_value=0.0, **attributes):
    y = np.zeros_like(inputs[0])
    for n, h, w, pixel, share in affine_taps(inputs[0], **attributes):
        y[n, h, w] += share * (fill_value if pixel is None else inputs[0][n][pixel])
    return y


def random_affine_backward(inputs, parameters, dy, fill_value=0.0, **attributes):
    dx = np.zeros_like(dy)
    for n, h, w, pixel, share in affine_taps(dy, **attributes):
        if pixel is not None:
            dx[n][pixel] += share * dy[n, h, w]
    return [dx], []


def image_factors(x, seed, low, high):
    return between(low, high, image_numbers(len(x), seed)[:, 0]).reshape(-1, 1, 1, 1)


def random_brightness(inputs, parameters, factor_low=0.0, factor_high=0.0, low=0.0, high=255.0, seed=-1):
    return np.clip(inputs[0] + image_factors(inputs[0], seed, factor_low, factor_high) * (high - low), low, high)


def random_brightness_backward(inputs, parameters, dy, factor_low=0.0, factor_high=0.0, low=0.0, high=255.0, seed=-1):
    y = inputs[0] + image_factors(inputs[0], seed, factor_low, factor_high) * (high - low)
    return [dy * ((y >= low) & (y <= high))], []


def contrasted(x, factor_low=1.0, factor_high=1.0, seed=-1):
    mean = x.mean((1, 2), keepdims=True)
    return (x - mean) * image_factors(x, seed, factor_low, factor_high) + mean


def random_contrast(inputs, parameters, low=0.0, high=255.0, **attributes):
    return np.clip(contrasted(inputs[0], **attributes), low, high)


def random_contrast_backward(inputs, parameters, dy, low=0.0, high=255.0, factor_low=1.0, factor_high=1.0, seed=-1):
    z = contrasted(inputs[0], factor_low, factor_high, seed)
    g = dy * ((z >= low) & (z <= high))
    factor = image_factors(dy, seed, factor_low, factor_high)
    return [factor * g + (1 - factor) * g.mean((1, 2), keepdims=True)], []


def is_erased(x, seed=-1, factor_low=0.0, factor_high=1.0, scale_low=0.02, scale_high=0.33):
    _, height, width, _ = x.shape
    erased = np.zeros(x.shape, bool)
    for image, number in zip(erased, image_numbers(len(x), seed)):
        if number[5] >= between(factor_low, factor_high, number[4]):
            continue
        columns, rows = np.sqrt(between(scale_low, scale_high, number[:2])) * [width, height]
        left, top = number[2:4] * [width - columns, height - rows]
        h, w = np.arange(height)[:, np.newaxis], np.arange(width)
        image[(h >= top) & (h < top + rows) & (w >= left) & (w < left + columns)] = True
    return erased


def random_erasing(inputs, parameters, noise=1, fill_value=0.0, low=0.0, high=255.0, seed=-1, **attributes):
    x = inputs[0]
    paint = random_normals(x.size, seed=seed).reshape(x.shape) * high if noise else fill_value
    return np.where(is_erased(x, seed, **attributes), np.clip(paint, low, high), x)


def random_erasing_backward(inputs, parameters, dy, noise=1, fill_value=0.0, low=0.0, high=255.0, **attributes):
    return [dy * ~is_erased(dy, **attributes)], []


OPS = {
    "random_affine": Op(random_affine, random_affine_backward),
    "random_brightness": Op(random_brightness, random_brightness_backward),
    "random_contrast": Op(random_contrast, random_contrast_backward),
    "random_erasing": Op(random_erasing, random_erasing_backward),
}

#: For finite differences.
OP_CASES = [
    ("random_affine", [(2, 4, 5, 2)], [], {"rotation_low": -0.2, "rotation_high": 0.3, "fill_value": 2.0}),
    ("random_affine", [(2, 4, 3, 1)], [], {"down_low": -2, "down_high": 2, "horizontal": 1, "fill": WRAP}),
    ("random_brightness", [(2, 3, 2, 2)], [], {"factor_low": -0.3, "factor_high": 0.3, "low": -1.0, "high": 1.0}),
    ("random_contrast", [(2, 3, 2, 2)], [], {"factor_low": 0.2, "factor_high": 1.8, "low": -1.0, "high": 1.0}),
    ("random_erasing", [(2, 5, 4, 2)], [], {"scale_low": 0.2, "low": -1.0, "high": 1.0}),
]
