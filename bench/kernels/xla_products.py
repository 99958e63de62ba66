"""GFLOP/s of XLA's matrix products on one processor, to be set beside those of gemm_bench.c.

    python bench/kernels/xla_products.py MxNxK ...    # where jax is installed

Float32, both matrices by rows; the best of many turns of a loop of products within one compiled function, as XLA would run
them within a training step.
"""

from __future__ import annotations

import argparse
import os
import time

TURNS = 25
TURN_SECONDS = 5e-3


def measure(m: int, n: int, k: int) -> float:
    """The least seconds of a product."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(0)
    a, b = (jnp.asarray(random.standard_normal(shape, np.float32)) for shape in ((m, k), (k, n)))
    count = max(1, int(TURN_SECONDS * 50e9 / (2 * m * n * k)))

    @jax.jit
    def turn(a, b):
        def body(i, carry):  # a changes with the product before, or else there would be one product for all
            a, c = carry
            return a.at[0, 0].add(1e-9 * c[0, 0]), jnp.dot(a, b)

        return jax.lax.fori_loop(0, count, body, (a, jnp.zeros((m, n), a.dtype)))[1]

    turn(a, b).block_until_ready()
    best = float("inf")
    for _ in range(TURNS):
        start = time.perf_counter()
        turn(a, b).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return best / count


def main() -> None:
    """Prints a line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="+", metavar="MxNxK")
    shapes = [tuple(map(int, text.split("x"))) for text in parser.parse_args().shapes]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    for m, n, k in shapes:
        seconds = measure(m, n, k)
        print(f"{f'{m}x{n}x{k}':16s} {1e6 * seconds:10.2f} us {2e-9 * m * n * k / seconds:8.1f} GFLOP/s")


if __name__ == "__main__":
    main()
