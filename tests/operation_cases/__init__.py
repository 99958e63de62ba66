"""Shapes and attributes on which every operation is tested and timed.

OPS names for every operation of the engine what yields its cases for a width of the last axis: the union of the tables
OPS in the modules of this folder, so that a new operation is a new file.
"""

import importlib
import pkgutil

from operation_cases.base import OpCase as OpCase
from operation_cases.base import arrays as arrays

OPS = {}
for _module in pkgutil.iter_modules(__path__):
    OPS |= getattr(importlib.import_module(f"operation_cases.{_module.name}"), "OPS", {})
