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

import sys
from typing import Any

from .._symbols import FUNCTIONS as _FUNCTIONS
from . import _gradients as _gradients
from . import (
    assembly,
    constants,
    elementwise,
    formulas,
    indexing,
    moves,
    networks,
    products,
    reductions,
    rows,
    shapes,
    statistics,
)
from ._missing import why_missing
from .assembly import *
from .constants import *
from .elementwise import *
from .formulas import *
from .indexing import *
from .moves import *
from .networks import *
from .products import *
from .reductions import *
from .rows import *
from .shapes import *
from .statistics import *

__all__ = sorted(
    {
        *assembly.__all__,
        *constants.__all__,
        *elementwise.__all__,
        *formulas.__all__,
        *indexing.__all__,
        *moves.__all__,
        *networks.__all__,
        *products.__all__,
        *reductions.__all__,
        *rows.__all__,
        *shapes.__all__,
        *statistics.__all__,
    }
)
_FUNCTIONS.public = frozenset(__all__)


def __getattr__(name: str) -> Any:
    """Keras sorts its functions into modules, besides: this one goes by their names, too."""
    if name in ("image", "linalg", "nn", "numpy"):
        return sys.modules[__name__]
    raise why_missing(name)
