"""The examples of searches find what they say, by the workers of Dask and of MPI."""

import concurrent.futures
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import fastnet as fn

FOLDER = pathlib.Path(__file__).parents[1] / "examples"


def run(name, pool, folder):
    path = os.path.dirname(os.path.dirname(fn.__file__))
    script, start = str(FOLDER / f"{name}.py"), [sys.executable]
    if pool == "mpi":
        pytest.importorskip("mpi4py")
        mpiexec = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")
        if mpiexec is None:
            pytest.skip("needs mpiexec")
        start = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    else:
        pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "DASK_TEMPORARY_DIRECTORY": str(folder)}
    done = subprocess.run([*start, script, pool], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("pool", ["dask", "mpi"])
def test_searches_of_scikit_learn(pool, tmp_path):
    output = run("search_workers", pool, tmp_path)
    found = re.findall(r"(\w+): ([\d.]+)% of the test digits", output)
    assert [name for name, _ in found] == ["GridSearchCV", "HalvingRandomSearchCV"], output
    assert all(float(accuracy) > 95 for _, accuracy in found), output


@pytest.mark.parametrize("pool", ["dask", "mpi"])
def test_a_study_of_optuna(pool, tmp_path):
    pytest.importorskip("optuna")
    output = run("optuna_workers", pool, tmp_path)
    trials, workers, least, most = re.search(r"(\d+) trials by (\d) workers: from ([\d.]+)% to ([\d.]+)%", output).groups()
    assert (trials, workers) == ("20", "2") and float(least) < 80 and float(most) > 92, output


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_backend_hands_all_fits_to_the_executor():
    """The scores are those of scikit-learn alone."""

    class Counts(concurrent.futures.ThreadPoolExecutor):
        submitted = 0

        def submit(self, *arguments, **options):
            self.submitted += 1
            return super().submit(*arguments, **options)

    x, y = load_iris(return_X_y=True)
    grid = {"hidden_layer_sizes": [(4,), (8,)]}
    search = GridSearchCV(fn.sklearn.MLPClassifier(max_iter=4, random_state=0), grid, cv=3, refit=False)
    backend = runpy.run_path(str(FOLDER / "search_workers.py"))["ExecutorBackend"]
    joblib.register_parallel_backend("counting", backend)
    with Counts(2) as executor, joblib.parallel_config("counting", executor=executor, workers=2):
        scores = search.fit(x, y).cv_results_["mean_test_score"]
    assert executor.submitted == 6
    np.testing.assert_array_equal(scores, search.fit(x, y).cv_results_["mean_test_score"])
