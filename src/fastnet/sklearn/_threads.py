"""How many threads an estimator may take: where it is one of several jobs, its share."""

from __future__ import annotations

import joblib
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from .. import _core

__all__ = ["allowed_threads"]


def allowed_threads(n_threads: int | None) -> int:
    """The threads to train and predict with.

    Parameters
    ----------
    n_threads : int or None
        What the user asked for. None: as many as there are processors for this process, fewer where `OMP_NUM_THREADS`, a limit of
        threadpoolctl or joblib says so (joblib sets the variable in its processes), and one in a thread of joblib.
    """
    if n_threads is not None:
        return n_threads
    backend, _ = joblib.parallel.get_active_backend()
    in_thread = bool(getattr(backend, "nesting_level", 0)) and joblib.parallel.mp.current_process().name == "MainProcess"
    return 1 if in_thread else max(1, min(_core.default_threads(), _openmp_effective_n_threads()))
