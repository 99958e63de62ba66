"""Functions of `keras.ops` that there are not, and why: for errors, and for the tables of the documentation."""

from __future__ import annotations

__all__ = ["MISSING", "why_missing"]

_COMPLEX = "there are no complex numbers"
_DECOMPOSITION = "decompositions of matrices are not among the operations of the engine"
_BITS = "tensors hold real numbers, which have no bits to work with: NumPy's function is for arrays of integers"
_SIZE = "the shape of the result depends on the numbers"
_BATCH = "rows of a batch are computed apart"
_LAYER = "a layer does it"
_LOOP = "what is done must be known while the graph is made: Python's loops and conditions over what is known, `where` and `fori_loop` else"

#: By name, or by "name name name": why it is not there, and what to use.
_REASONS = {
    "fft fft2 ifft2 rfft irfft stft istft view_as_complex view_as_real polar": _COMPLEX,
    "cholesky cholesky_inverse det eig eigh inv logdet lstsq lu_factor matrix_rank pinv qr slogdet solve solve_triangular svd": _DECOMPOSITION,
    "bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor left_shift right_shift gcd lcm nextafter view": _BITS,
    "unique nonzero": _SIZE,
    "allclose corrcoef correlate histogram psnr": f"{_BATCH}; of arrays use NumPy",
    "map vectorized_map vectorize scan associative_scan": f"{_BATCH}, so that a function is one of all rows as it stands",
    "while_loop cond switch": _LOOP,
    "custom_gradient": "derivatives follow from the operations; `stop_gradient(f - g) + g` has the numbers of f and the derivative of g",
    "jvp": "`fastnet.jvp`",
    "average_pool max_pool adaptive_average_pool adaptive_max_pool conv conv_transpose depthwise_conv separable_conv fold unfold": _LAYER,
    "ctc_decode ctc_loss": "the loss of sequences without alignment is not among those of the engine",
    "dtype": "a tensor has the precision of the model that it becomes a part of",
    "i0": "Bessel functions are not among those of the engine",
    "rearrange": "patterns of names: `reshape` and `transpose`, or `einsum`",
}  # fmt: skip

MISSING = {name: reason for names, reason in _REASONS.items() for name in names.split()}


def why_missing(name: str) -> AttributeError:
    """The error for a name that is not there."""
    reason = f", as {MISSING[name]}" if name in MISSING else ""
    return AttributeError(f"fn.ops has no {name!r}{reason}")
