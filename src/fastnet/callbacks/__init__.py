"""Callbacks: Python that fit calls as it goes, with the names, arguments and hooks of Keras 3.

Training runs in C for whole epochs. A callback that overrides no batch hook costs nothing between epochs; one that
does gets every batch.
"""

from .._callback_list import CallbackList
from .base import Callback, LambdaCallback
from .control import EarlyStopping, LearningRateScheduler, MonitorCallback, ReduceLROnPlateau, SwapEMAWeights, TerminateOnNaN
from .files import BackupAndRestore, CSVLogger, ModelCheckpoint, TrainingCheckpoint
from .monitoring import TensorBoard, Timer
from .pruning import OptunaPruning

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "MonitorCallback", "OptunaPruning", "ReduceLROnPlateau", "SwapEMAWeights", "TensorBoard", "TerminateOnNaN",
    "Timer", "TrainingCheckpoint",
]  # fmt: skip
