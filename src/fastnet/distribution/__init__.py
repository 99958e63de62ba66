"""One model trained by several processes, which MPI joins: each takes a part of every batch.

>>> import fastnet as fn
>>> fn.distribution.distribution() is None
True
"""

from .._distributed import distribution, set_distribution
from ._data_parallel import DataParallel

__all__ = ["DataParallel", "distribution", "set_distribution"]
