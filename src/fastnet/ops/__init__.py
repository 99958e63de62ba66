"""Mathematics of your own: the functions of `keras.ops`, on symbolic tensors and on arrays.

On symbolic tensors a function adds to the graph, and the engine computes it and its derivative. On arrays it computes at once, with
the same kernels, so that a formula can be tried. Symbolic tensors take Python's operators.

>>> import numpy as np
>>> import fastnet as fn
>>> fn.ops.logsumexp(np.array([1.0, 2.0, 3.0]), axis=0).round(6)
np.float64(3.407606)
>>> x = fn.Input((3,))
>>> y = fn.ops.sqrt(fn.ops.sum(x**2, axis=-1, keepdims=True)) + 1
>>> y.shape
(None, 1)
>>> fn.Model(x, y, seed=0).predict([[2.0, 3.0, 6.0]]).tolist()
[[8.0]]
"""

from .._symbols import FUNCTIONS as _FUNCTIONS
from . import _gradients as _gradients
from . import constants, elementwise, indexing, moves, products, reductions, shapes
from .constants import *
from .elementwise import *
from .indexing import *
from .moves import *
from .products import *
from .reductions import *
from .shapes import *

__all__ = sorted(
    {
        *constants.__all__,
        *elementwise.__all__,
        *indexing.__all__,
        *moves.__all__,
        *products.__all__,
        *reductions.__all__,
        *shapes.__all__,
    }
)
_FUNCTIONS.public = frozenset(__all__)
