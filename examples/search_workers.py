"""Searches hyperparameters with scikit-learn, whose searches run on the workers of Dask or of MPI.

    python examples/search_workers.py [dask]
    mpiexec -n 3 python -m mpi4py.futures examples/search_workers.py mpi

scikit-learn hands its fits to joblib, and joblib to a backend. That of Dask comes with `distributed`; the workers of MPI are an executor of
`concurrent.futures`, for which a backend is the few lines below. With MPI the first process searches, and the others are its workers.
"""

import sys

import joblib
from joblib.parallel import ParallelBackendBase
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, train_test_split

import fastnet as fn


class ExecutorBackend(ParallelBackendBase):
    """joblib's tasks, run by an executor with so many workers."""

    supports_retrieve_callback = True

    def __init__(self, executor=None, workers=1, **options):
        super().__init__(**options)
        self.executor, self.workers = executor, workers

    def effective_n_jobs(self, n_jobs):
        return self.workers

    def submit(self, func, callback=None):
        future = self.executor.submit(func)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out):
        return out.result()


def search():
    """Two searches, by whatever backend joblib has been told of; returns the parameters found and the accuracies."""
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x.astype("float32"), y, random_state=0, stratify=y)
    classifier = fn.sklearn.MLPClassifier(learning_rate_init=0.01, max_iter=200, tol=0.005, n_iter_no_change=5, random_state=0)
    grid = GridSearchCV(classifier, {"hidden_layer_sizes": [(4,), (32,)], "alpha": [1e-4, 1.0]}, cv=3)
    space = {"hidden_layer_sizes": [(8,), (16,), (32,), (64,)], "learning_rate_init": [0.003, 0.01, 0.03, 0.1]}
    halving = HalvingRandomSearchCV(classifier, space, n_candidates=6, min_resources=120, cv=3, random_state=0)
    for one in (grid, halving):
        one.fit(x_train, y_train)
    return [(type(one).__name__, one.best_params_, one.score(x_test, y_test)) for one in (grid, halving)]


def main():
    if sys.argv[1:] == ["mpi"]:
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as pool:
            joblib.register_parallel_backend("executor", ExecutorBackend)
            with joblib.parallel_config("executor", executor=pool, workers=pool.num_workers):
                found = search()
    elif sys.argv[1:] in ([], ["dask"]):
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster), joblib.parallel_config("dask"):
            found = search()
    else:
        sys.exit(__doc__)
    for name, parameters, accuracy in found:
        print(f"{name}: {accuracy:.1%} of the test digits with {parameters}")


if __name__ == "__main__":
    main()
