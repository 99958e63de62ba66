"""Callbacks that write files: the model, all of the training, a table of the epochs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..history import read_csv, write_csv
from .base import Callback, Logs
from .control import _NUMBER, MonitorCallback

if TYPE_CHECKING:
    from .._fit_state import FitState

__all__ = ["BackupAndRestore", "CSVLogger", "ModelCheckpoint", "TrainingCheckpoint"]

Path = str | os.PathLike[str]


def _positive_or_none(owner: Any, name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{type(owner).__name__}: {name} must be a positive number, got {value!r}")
    if not value > 0:
        raise ValueError(f"{type(owner).__name__}: {name} must be a positive number, got {value!r}")
    return value


def _make_folder(path: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, after each epoch or every so many batches.

    To go on with training bit for bit, use `TrainingCheckpoint`.

    Parameters
    ----------
    filepath : path
        May name the epoch, counted from 1, the batch and what is in the logs:
        ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"``. Folders are made.
    monitor, mode
        As in `MonitorCallback`, for `save_best_only`.
    verbose : {0, 1}
        1: say what is written.
    save_best_only : bool
        Only where the quantity is better than ever. Where it is missing, the model is saved, as in Keras.
    save_weights_only : bool
        As `Model.save_weights` does, not `Model.save`.
    save_freq : "epoch" or int
        After how many batches, counted from the beginning of `fit`.
    initial_value_threshold : float, optional
        Value that the first best one must surpass.

    Raises
    ------
    KeyError
        If the path names what is not in the logs.

    Examples
    --------
    >>> import fastnet as fn, os, tempfile
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save = fn.callbacks.ModelCheckpoint(folder + "/model-{epoch}.safetensors", "loss", save_best_only=True)
    ...     history = model.fit([0, 1, 2], [1, 3, 5], epochs=2, verbose=0, callbacks=[save])
    ...     print(sorted(os.listdir(folder)))
    ['model-1.safetensors', 'model-2.safetensors']
    """

    state_types = {"best": _NUMBER, "_start": int}

    def __init__(
        self,
        filepath: Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        from ..saving.files import check_name

        self.filepath = os.fspath(filepath)
        check_name(self.filepath, save_weights_only)  # now, and not at the end of the first epoch
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ValueError(f"ModelCheckpoint: save_freq must be 'epoch' or a number of batches, got {save_freq!r}")
        self.save_freq = save_freq
        self._start = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        self._start = self.model.optimizer.batches

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def steps_to_checkpoint(self, batches: int) -> int | None:
        if isinstance(self.save_freq, str):
            return None
        return self.save_freq - (batches - self._start) % self.save_freq

    def on_checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        done = fit.optimizer.batches - self._start
        if not isinstance(self.save_freq, str) and done and done % self.save_freq == 0:
            epoch, batch = (fit.epoch - 1, fit.steps) if epoch_ended else (fit.epoch, fit.state.batch)
            self._save(epoch, batch, fit.logs)

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        names = {**(logs or {}), "epoch": epoch + 1, **({} if batch is None else {"batch": batch})}
        try:
            path = self.filepath.format(**names)
        except KeyError as error:
            known = ", ".join(sorted(names))
            raise KeyError(f"ModelCheckpoint: the path {self.filepath!r} names {error}; there are {known}") from None
        if not self._is_due(epoch, logs) or not self.writes_files:
            return
        _make_folder(path)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: the model is saved to {path}")

    def _is_due(self, epoch: int, logs: Logs) -> bool:
        if not self.save_best_only:
            return True
        current = self.current(logs)
        if current is None:
            return True
        better = self.improves(current, self.best, logs)
        if self.verbose and self.writes_files:
            best = "none" if self.best is None else f"{self.best:.5g}"
            print(
                f"Epoch {epoch + 1}: {self.monitor} {'improved' if better else 'did not improve'} from {best}, "
                f"it is {current:.5g}"
            )
        if better:
            self.best = current
        return better


class TrainingCheckpoint(Callback):
    """Writes all that is needed to go on with training: ``fit(..., resume_from=path)`` ends with the same bits.

    One file holds the weights, the optimizer's arrays, steps, epoch, position in the epoch, history and the state of
    the callbacks. It is replaced as a whole: a crash while it is being written leaves the one before. Without further
    arguments it is written at the end of each epoch. `load_model` reads the model from it.

    Parameters
    ----------
    path : path
        Belongs to one training at a time; folders are made.
    every_steps : int, optional
        Write at multiples of so many batches.
    every_seconds : float, optional
        Write when so many seconds have passed since the last time.

    Examples
    --------
    >>> import fastnet as fn, tempfile
    >>> def train(epochs, path, resume_from=None):
    ...     model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    ...     model.compile("adam", "mse")
    ...     model.fit([0, 1, 2], [1, 3, 5], epochs=epochs, batch_size=2, verbose=0, resume_from=resume_from,
    ...               callbacks=[fn.callbacks.TrainingCheckpoint(path)])
    ...     return model.get_weights()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/training.safetensors"
    ...     whole = train(6, path)
    ...     part = train(3, path)
    ...     resumed = train(6, path, resume_from=path)
    >>> all((a == b).all() for a, b in zip(whole, resumed))
    True
    """

    writes_training = True

    def __init__(self, path: Path, every_steps: int | None = None, every_seconds: float | None = None) -> None:
        self.path = os.fspath(path)
        self.every_steps = _positive_or_none(self, "every_steps", every_steps, int)
        self.every_seconds = _positive_or_none(self, "every_seconds", every_seconds, (int, float))
        self._last = 0.0

    def on_train_begin(self, logs: Logs = None) -> None:
        self._last = time.monotonic()
        _make_folder(self.path)

    def steps_to_checkpoint(self, batches: int) -> int | None:
        return None if self.every_steps is None else self.every_steps - batches % self.every_steps

    def on_checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        due = epoch_ended and self.every_steps is None and self.every_seconds is None
        if self.every_steps is not None:
            due = fit.optimizer.batches % self.every_steps == 0
        if self.every_seconds is not None:
            due = due or time.monotonic() - self._last >= self.every_seconds
        if due:
            self._write(fit)

    def _write(self, fit: FitState) -> None:
        from ..saving.checkpoint import write_checkpoint

        if self.writes_files:
            write_checkpoint(fit, self.path)
        self._last = time.monotonic()


class BackupAndRestore(TrainingCheckpoint):
    """Keeps a training that is interrupted: the same call of `fit` in a new process goes on where the last one stood, with the same bits.

    The file is a `TrainingCheckpoint`; `fit` finds it without `resume_from`.

    Parameters
    ----------
    backup_dir : path
        Folder of the file; one for each training. It is made.
    save_freq : "epoch" or int
        After how many batches it is written.
    double_checkpoint : bool
        Also at the end of each epoch, where `save_freq` is a number.
    delete_checkpoint : bool
        Remove the file when training has come to its end.

    Raises
    ------
    ValueError
        Where the file is of another model, other data or other arguments, by `fit`.

    Examples
    --------
    >>> import fastnet as fn, tempfile
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = fn.callbacks.BackupAndRestore(folder)
    ...     history = model.fit([0, 1, 2], [1, 3, 5], epochs=3, verbose=0, callbacks=[backup])
    """

    def __init__(
        self,
        backup_dir: Path,
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise ValueError(f"BackupAndRestore: save_freq must be 'epoch' or a number of batches, got {save_freq!r}")
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir is empty")
        super().__init__(os.path.join(backup_dir, "training.safetensors"), None if save_freq == "epoch" else save_freq)  # type: ignore[arg-type]
        self.backup_dir, self.save_freq = os.fspath(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = bool(double_checkpoint), bool(delete_checkpoint)

    def resume_path(self) -> str | None:
        return self.path if os.path.exists(self.path) else None

    def on_checkpoint(self, fit: FitState, epoch_ended: bool) -> None:
        if epoch_ended and self.double_checkpoint and self.every_steps is not None:
            self._write(fit)
        else:
            super().on_checkpoint(fit, epoch_ended)

    def on_train_end(self, logs: Logs = None) -> None:
        if self.delete_checkpoint and self.writes_files and os.path.exists(self.path):
            os.unlink(self.path)


class CSVLogger(Callback):
    """Writes a table with a line for each epoch.

    Columns are "epoch", counted from 0, and what is in the logs, in alphabetical order, as in Keras; columns that come
    later are added on the right. The file is whole after each epoch; where a line cannot be written, as on a full disk,
    it holds those before, and the error ends the training.

    Parameters
    ----------
    filename : path
    separator : str
    append : bool
        Go on with the file there is; otherwise it is replaced. A resumed `fit` goes on with it either way.

    Examples
    --------
    >>> import fastnet as fn, pathlib, tempfile
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile(fn.optimizers.SGD(0.1), "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.csv")
    ...     history = model.fit([0, 1, 2], [1, 3, 5], epochs=3, verbose=0, callbacks=[fn.callbacks.CSVLogger(path)])
    ...     print(path.read_text().split()[0])
    epoch,gradient_norm,learning_rate,loss
    """

    state_types = {"_rows": int}

    def __init__(self, filename: Path, separator: str = ",", append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.separator, self.append = separator, append
        self._rows = 0  # written before, by this fit or what it goes on with
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        self._columns, rows = self._read() if self.append else ([], [])
        self._rows = len(rows)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not self.writes_files:
            return
        row = {"epoch": epoch, **(logs or {})}
        new = [name for name in ("epoch", *sorted(logs or {})) if name not in self._columns]
        if new:
            _, rows = self._read() if self._rows else ([], [])
            columns = [*self._columns, *new]
            _make_folder(self.filename)
            write_csv(self.filename, columns, [*rows[: self._rows], row], self.separator)
            self._columns = columns  # only now: where it could not be written, the next line begins the file anew
        else:
            write_csv(self.filename, self._columns, [row], self.separator, append=True)
        self._rows += 1

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Drops the lines of epochs that will be made once more."""
        super().set_state(state)
        columns, rows = self._read()
        self._rows = min(self._rows, len(rows))
        if self._rows:
            self._columns = columns
        if self._rows < len(rows):
            write_csv(self.filename, columns, rows[: self._rows], self.separator)

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        try:
            return read_csv(self.filename, self.separator)
        except FileNotFoundError:
            return [], []
