"""Random changes of images."""

from operation_cases.base import OpCase

TURN = {"rotation_low": -0.3, "rotation_high": 0.4}
SHIFT = {"down_low": -0.4, "down_high": 0.7, "right_low": -1.5, "right_high": 1.2}
ZOOM = {"zoom_rows_low": -0.4, "zoom_rows_high": 0.6, "zoom_columns_low": -0.5, "zoom_columns_high": 0.9}
FLIP = {"horizontal": 1, "vertical": 1}
RANGE = {"low": -2.5, "high": 3.0}


def random_affine_cases(width):
    yield OpCase("random_affine", ((3, 4, width),), FLIP)
    yield OpCase("random_affine", ((3, width, 2),), {**TURN, "fill_value": 1.5, "seed": 4})
    yield OpCase("random_affine", ((4, width, 1),), {**SHIFT, "fill": 1})
    yield OpCase("random_affine", ((4, 3, width),), {**ZOOM, "fill": 2})
    yield OpCase("random_affine", ((width, 3, 3),), {**ZOOM, **SHIFT, "same_zoom": 1, "fill": 3})
    yield OpCase("random_affine", ((4, width, 1),), {**SHIFT, **TURN, "fill": 2, "bilinear": 0})
    yield OpCase("random_affine", ((1, 1, width),), {**SHIFT, **TURN, **ZOOM, **FLIP, "fill": 2})


def factor_cases(op, low, high):
    def cases(width):
        yield OpCase(op, ((3, 4, width),), {"factor_low": low, "factor_high": high, **RANGE})
        yield OpCase(op, ((width, 5, 3),), {"factor_low": low, "factor_high": high, **RANGE, "seed": 9})
        yield OpCase(op, ((1, 1, width),), {"factor_low": low, "factor_high": high, "low": -9.0, "high": 9.0})

    return cases


def random_erasing_cases(width):
    yield OpCase("random_erasing", ((5, 4, width),), RANGE)
    yield OpCase("random_erasing", ((4, width, 3),), {**RANGE, "scale_low": 0.5, "scale_high": 1.0, "factor_low": 1.0})
    yield OpCase("random_erasing", ((6, width, 1),), {**RANGE, "noise": 0, "fill_value": 7.0, "seed": 1})
    yield OpCase("random_erasing", ((1, 1, width),), {**RANGE, "factor_low": 1.0})


OPS = {
    "random_affine": random_affine_cases,
    "random_brightness": factor_cases("random_brightness", -0.2, 0.3),
    "random_contrast": factor_cases("random_contrast", 0.4, 1.7),
    "random_erasing": random_erasing_cases,
}
