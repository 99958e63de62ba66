"""Data that are read batch by batch."""

from .dataset import Dataset, PyDataset

__all__ = ["Dataset", "PyDataset"]
