"""`fit_many` by the workers of a pool: processes of this machine or of others.

Models travel as pickles, which hold what a training goes on from. What all models have in common, as a rule the data, is written into one
file, which each worker maps into its memory once; a worker that does not see the file, on another machine, is sent what it holds once.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .saving.pickling import progress_of, take_progress

if TYPE_CHECKING:
    from .model import Model

__all__ = ["fit_by_pool"]

#: In a worker: what models that it trained last had in common, by the name of the file.
_known: dict[str, Any] = {}
#: How often this process has been given such.
n_received = 0


class _Missing:
    """The answer of a worker that does not have the data."""


class _Shared:
    """Arguments that all models have in common, as one file.

    Parameters
    ----------
    arguments : dict
    folder : path
    """

    def __init__(self, arguments: Mapping[str, Any], folder: str) -> None:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(dict(arguments), protocol=5, buffer_callback=buffers.append)
        raw = [buffer.raw() for buffer in buffers]
        # Each array begins with a line of the cache, as those that NumPy makes.
        places, at = [], 0
        for view in raw:
            places.append((at, view.nbytes))
            at += -(-view.nbytes // 64) * 64
        self.token = f"{os.getpid()}-{uuid.uuid4().hex}"
        self.path = os.path.join(folder, self.token)
        with open(self.path, "wb") as file:
            for (begin, _), view in zip(places, raw):
                file.seek(begin)
                file.write(view)
            file.truncate(max(at, 1))
        self.head, self.places = head, places

    def where(self) -> tuple[Any, ...]:
        """What a worker needs that sees the file."""
        return self.token, self.path, self.head, self.places, None

    def whole(self) -> tuple[Any, ...]:
        """What a worker needs that does not."""
        with open(self.path, "rb") as file:
            return self.token, self.path, self.head, self.places, file.read()


def _receive(where: tuple[Any, ...]) -> Any:
    """The arguments that all models have in common; `_Missing` where this process has no way to them."""
    global n_received
    token, path, head, places, content = where
    if token not in _known:
        try:
            memory = np.memmap(path, np.uint8, "r") if content is None else np.frombuffer(content, np.uint8)
        except OSError:
            return _Missing()
        views = [memory[begin : begin + size] for begin, size in places]
        arguments = pickle.loads(head, buffers=views)
        _known.clear()  # one call of fit_many after another
        _known[token] = arguments
        n_received += 1
    return _known[token]


def _train(model: bytes, where: tuple[Any, ...], own: Mapping[str, Any]) -> Any:
    """In a worker: trains a model, and returns how far it has come, as a pickle: what cannot be read from it is no other model's."""
    shared = _receive(where)
    if isinstance(shared, _Missing):
        return shared
    trained: Model = pickle.loads(model)
    trained._plans.one_thread = True
    callbacks = own.get("callbacks", shared.get("callbacks"))
    try:
        trained.fit(**{**shared, **own, "verbose": 0})
    except Exception as error:
        if _can_be_sent(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    return _dumped(
        (progress_of(trained), [_state_of(one) for one in callbacks or []]), "what has become of the model in a worker"
    )


def _can_be_sent(error: Exception) -> bool:
    """Whether another process can read its pickle, which a class prevents whose constructor takes more than its message; a pool ends then."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class raises
        return False
    return True


def _state_of(callback: Any) -> dict[str, Any]:
    """What has become of a callback, without what is the model's."""
    return {name: value for name, value in vars(callback).items() if name not in ("model", "params")}


def _dumped(thing: Any, what: str) -> bytes:
    """A pickle; TypeError where it cannot be one."""
    try:
        return pickle.dumps(thing, protocol=5)
    except Exception as error:  # whatever what it is made of raises
        raise TypeError(f"{what} cannot be sent to another process: {error}") from error


def fit_by_pool(
    models: Sequence[Model], shared: Mapping[str, Any], own: Sequence[Mapping[str, Any]], executor: Any, report: Any
) -> dict[int, BaseException]:
    """Has each model trained by a worker of a pool, and makes it what it has become there.

    Parameters
    ----------
    models : sequence of Model
        Built and compiled.
    shared : dict
        Arguments of `fit` that are the same for all.
    own : sequence of dict
        Those of each.
    executor
        Has `submit`, as those of `concurrent.futures`.
    report : callable
        Called with the number of a model that is done, and its history.

    Returns
    -------
    dict of int to Exception
        What went wrong, by the number of the model.

    Raises
    ------
    TypeError
        Where something cannot be pickled, before any model is trained.
    """
    sent = [_dumped(model, f"model {i}") for i, model in enumerate(models)]
    for i, arguments in enumerate(own):
        _dumped(arguments, f"what fit is given for model {i}")
    _dumped({name: value for name, value in shared.items() if not isinstance(value, np.ndarray)}, "what fit is given")
    errors: dict[int, BaseException] = {}
    with tempfile.TemporaryDirectory(prefix="fastnet-") as folder:
        data = _Shared(shared, folder)
        whole: tuple[Any, ...] | None = None
        futures = [executor.submit(_train, model, data.where(), arguments) for model, arguments in zip(sent, own)]
        try:
            for i, future in enumerate(futures):
                try:
                    found = future.result()
                    if isinstance(found, _Missing):
                        whole = data.whole() if whole is None else whole
                        found = executor.submit(_train, sent[i], whole, own[i]).result()
                    found = pickle.loads(found)
                except Exception as error:
                    errors[i] = error
                    continue
                _take(models[i], found, own[i].get("callbacks") or [])
                report(i, models[i].history)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return errors


def _take(model: Model, found: tuple[dict[str, Any], list[dict[str, Any]]], callbacks: Any) -> None:
    """Makes a model and its callbacks what a worker's copies have become."""
    progress, states = found
    take_progress(model, progress)
    for callback, state in zip(callbacks if isinstance(callbacks, (list, tuple)) else [callbacks], states):
        callback.set_model(model)
        vars(callback).update(state)
