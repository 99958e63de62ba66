"""The same training in fastnet and in other libraries, timed side by side.

A *workload* is a network, its data and its optimizer (workloads.py). A *peer* is a library that can train it
(one module each, with a class named Peer; see peer.py). The driver starts each peer in a process of its own, checks
that all of them learn the same, and times them in turns. This package imports nothing of fastnet outside
fastnet_peer.py, so that worker.py can run under the interpreter of another library's environment.
"""

PEERS = {
    "fastnet": "fastnet_peer",
    "numpy": "numpy_peer",
    "torch": "torch_peer",
    "torch-compile": "torch_compile_peer",
    "jax-step": "jax_step_peer",
    "jax-scan": "jax_scan_peer",
    "sklearn": "sklearn_peer",
    "keras": "keras_peer",
}
"""Peers by name: the modules that train with them."""

PACKAGES = {
    "fastnet": ("numpy",),
    "numpy": ("numpy",),
    "torch": ("torch", "numpy"),
    "torch-compile": ("torch", "numpy"),
    "jax-step": ("jax", "numpy"),
    "jax-scan": ("jax", "numpy"),
    "sklearn": ("sklearn", "numpy"),
    "keras": ("keras", "tensorflow", "numpy"),
}
"""Modules that each peer imports."""
