"""What the engine computes, in float64 NumPy: plain, slow and easily read.

Tables by the names of the engine's registries: OPS, ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS. Tests go over the
registries and look here; an entry without a reference fails. Each table is the union of those of the same name in the
modules of this folder, and so are LOSS_TERMS and OP_CASES: a new operation is a new file.

Arrays have the batch as first axis. Attributes are keyword arguments with the engine's names and defaults.
"""

import importlib
import pkgutil

from reference.activations import ACTIVATIONS as ACTIVATIONS
from reference.losses import batch_loss as batch_loss
from reference.losses import one_hot as one_hot

_modules = [importlib.import_module(f"reference.{module.name}") for module in pkgutil.iter_modules(__path__)]


def _union(table):
    return {name: entry for module in _modules for name, entry in getattr(module, table, {}).items()}


OPS, LOSSES, METRICS, OPTIMIZERS = (_union(table) for table in ("OPS", "LOSSES", "METRICS", "OPTIMIZERS"))
LOSS_TERMS = _union("LOSS_TERMS")
OP_CASES = [case for module in _modules for case in getattr(module, "OP_CASES", [])]
