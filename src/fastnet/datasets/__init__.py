"""Data to try things with, readers for the files of published data sets, and for the format of MNIST.

Each of the modules by the names of Keras has `load_data`, which reads what is here already; nothing is downloaded.
"""

from . import boston_housing, california_housing, cifar10, cifar100, fashion_mnist, imdb, mnist, reuters
from ._digits import load_digits
from ._idx import load_idx

__all__ = [
    "boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "load_digits", "load_idx", "mnist", "reuters",
]  # fmt: skip
