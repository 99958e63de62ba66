"""Optuna's study by the workers of Dask or of MPI: the study asks and is told here, and workers train.

    python examples/optuna_workers.py [dask]
    mpiexec -n 3 python -m mpi4py.futures examples/optuna_workers.py mpi

Each worker is given the parameters of one trial, and another one as soon as it is done: the study knows what trials before have found. With
MPI the first process has the study, and the others are its workers.
"""

import os
import sys
from concurrent.futures import FIRST_COMPLETED, wait

import optuna

import fastnet as fn

SPACE = {
    "units": optuna.distributions.IntDistribution(2, 64, log=True),
    "dropout": optuna.distributions.FloatDistribution(0.0, 0.5),
    "learning_rate": optuna.distributions.FloatDistribution(1e-4, 0.1, log=True),
}


def objective(units, dropout, learning_rate):
    """In a worker: trains a network, and returns its accuracy on data held out, and which process it was."""
    (x, y), _ = fn.datasets.load_digits()
    layers = [fn.Input((64,)), fn.layers.Dense(units, "relu"), fn.layers.Dropout(dropout), fn.layers.Dense(10, "softmax")]
    model = fn.Sequential(layers, seed=0)
    model.compile(fn.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"], n_threads=1)
    history = model.fit(x, y, epochs=10, validation_split=0.25, verbose=0)
    return history.history["val_accuracy"][-1], os.getpid()


def optimize(study, executor, workers, trials):
    """As `study.optimize`, with as many trials at once as there are workers; returns which processes have trained."""
    running, started, processes = {}, 0, set()
    while started < trials or running:
        while started < trials and len(running) < workers:
            trial = study.ask(SPACE)
            running[executor.submit(objective, **trial.params)] = trial
            started += 1
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            value, process = future.result()
            study.tell(running.pop(future), value)
            processes.add(process)
    return processes


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True))
    if sys.argv[1:] == ["mpi"]:
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as pool:
            processes = optimize(study, pool, pool.num_workers, 20)
    elif sys.argv[1:] in ([], ["dask"]):
        from dask.distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            processes = optimize(study, client.get_executor(), 2, 20)
    else:
        sys.exit(__doc__)
    values = [trial.value for trial in study.trials]
    print(
        f"{len(values)} trials by {len(processes - {os.getpid()})} workers: from {min(values):.1%} to {max(values):.1%}, the best with {study.best_params}"
    )


if __name__ == "__main__":
    main()
