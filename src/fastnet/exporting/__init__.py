"""A model as one file in C99, which predicts and trains without Python, without an operating system and without a heap."""

from .export import Exported, export

__all__ = ["Exported", "export"]
