"""Data to try things with, and a reader for the format of MNIST."""

from ._digits import load_digits
from ._idx import load_idx

__all__ = ["load_digits", "load_idx"]
