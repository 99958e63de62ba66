"""Changes of images that are held to values of Keras: what tools/dump_augmentation_traces.py runs there, and
test_changing_images.py here. What is drawn at random is said by the cases."""

import numpy as np

#: Class, arguments, highest value of a pixel, what Keras's `transform_images` is given, what `_drawn` of the layer returns in turn.
CASES = [
    ("RandomInvert", {}, 255, {"apply_inversion": [True] * 2}, [0.0, 1.0]),
    ("RandomGrayscale", {}, 255, [[[[True]]]] * 2, [0.0, 1.0]),
    ("RandomColorDegeneration", {"factor": 0.5}, 255, {"factor": [[[[0.3]]]] * 2}, [0.3]),
    ("RandomColorDegeneration", {"factor": 0.5, "value_range": [0, 1]}, 1, {"factor": [[[[0.9]]]] * 2}, [0.9]),
    ("RandomSaturation", {"factor": 0.5, "value_range": [0, 1]}, 1, {"factor": [0.3 / (0.7 + 1e-7)] * 2}, [0.3]),
    ("RandomSaturation", {"factor": 0.5, "value_range": [0, 1]}, 1, {"factor": [0.8 / (0.2 + 1e-7)] * 2}, [0.8]),
    ("RandomHue", {"factor": 0.5}, 255, {"factor": [0.2] * 2}, [1.0, 0.4]),
    ("RandomHue", {"factor": 0.5, "value_range": [0, 1]}, 1, {"factor": [-0.45] * 2}, [0.0, 0.9]),
    ("RandomPosterization", {"factor": [3, 3]}, 255, {"shift_factor": [5] * 2}, []),
    ("RandomPosterization", {"factor": [1, 6]}, 255, {"shift_factor": [6] * 2}, [2.0]),
    ("RandomSharpness", {"factor": 1.0}, 255, {"factor": [0.9] * 2}, [0.9]),
    ("RandomSharpness", {"factor": 1.0, "value_range": [0, 1]}, 1, {"factor": [0.1] * 2}, [0.1]),
    ("RandomGaussianBlur", {"kernel_size": 3}, 255, {"should_apply_blur": [True] * 2, "blur_factor": [0.7, 0.7]}, [0.7, 0.7, 0.0, 1.0]),
    ("RandomGaussianBlur", {"kernel_size": 5}, 255, {"should_apply_blur": [True] * 2, "blur_factor": [0.9, 0.4]}, [0.4, 0.9, 0.0, 1.0]),
    ("Solarization", {}, 255, {"additions": [[[[20.0]]]] * 2, "thresholds": [[[[100.0]]]] * 2}, [20.0, 100.0]),
    ("Solarization", {"value_range": [0, 1]}, 1, {"additions": [[[[0.0]]]] * 2, "thresholds": [[[[180.0]]]] * 2}, [0.0, 180.0]),
    ("AutoContrast", {}, 200, None, []),
    ("AutoContrast", {"value_range": [-1, 1]}, 1, None, []),
    ("Equalization", {}, 200, None, []),
    ("Equalization", {"bins": 12}, 255, None, []),
    ("Equalization", {"value_range": [0, 1]}, 1, None, []),
    *(
        ("RandomShear", {"fill_mode": mode, "interpolation": how, "fill_value": 7.0}, 255, {"shear_factor": [[0.35, -0.2]] * 2}, [1.0, 0.35, -0.2])
        for mode, how in (("reflect", "bilinear"), ("constant", "bilinear"), ("nearest", "nearest"), ("wrap", "bilinear"))
    ),
    *(
        ("RandomPerspective", {"interpolation": how, "fill_value": 9.0}, 255, "points", [*quadrilateral, 0.0, 1.0])
        for how, quadrilateral in (("bilinear", (1.2, 0.9, 0.8, 1.3)), ("bilinear", (0.7, 0.7, 1.1, 0.95)), ("nearest", (1.4, 0.6, 0.9, 1.1)))
    ),
    *(
        ("RandomElasticTransform", {"fill_mode": mode, "scale": [0.9, 0.9]}, 255, "noise", [0.9, "rows", "columns", 0.0, 1.0])
        for mode in ("reflect", "mirror", "constant")
    ),
]  # fmt: skip

SHAPE = (2, 7, 9, 3)


def images(case):
    """Of whole numbers, some of them equal."""
    i, (_, _, highest, _, _) = case
    numbers = np.random.default_rng(i).integers(0, 256, SHAPE)
    return np.minimum(numbers + 0.4, 255) / 255 if highest == 1 else numbers * (highest / 255)  # not at the edges of bins


#: The seeds of the normal numbers that pixels of the elastic transformation are moved by.
SEEDS = {"rows": 5, "columns": 6}
