"""A model of Keras as what it is made of: its configuration, checked, and for each layer its arrays, not read yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._names import snake_case
from .keras_files import Opened, Stored, telling, wrap

__all__ = [
    "ENTRIES",
    "Description",
    "Entry",
    "Place",
    "Source",
    "check_layer",
    "from_file",
    "from_model",
    "groups_of",
    "histories",
    "is_model",
    "is_tensor",
    "keys_of",
    "layers_of",
    "name_of",
    "numbered_name",
]

#: Names of a layer and of the models that it is within, from outside.
Place = tuple[str, ...]
Description = Mapping[str, Any]


class Entry(NamedTuple):
    """Where the arrays of a kind of layer are.

    Attributes
    ----------
    groups : tuple of tuple of str
        For each part of the layer in Keras's order of weights: its path in the file below the layer, and how the names
        of the weights that it holds begin here. Within a part both have the same order and shapes.
    """

    groups: tuple[tuple[str, str], ...] = (("", ""),)


_CELL = Entry((("cell", ""),))
#: The projections of an attention layer, which are layers of their own in Keras.
_HEADS = Entry(
    (
        ("query_dense", "query/"),
        ("key_dense", "key/"),
        ("gate_dense", "gate/"),
        ("value_dense", "value/"),
        ("output_dense", "attention_output/"),
    )
)

#: Layers whose arrays are not all their own, in the order of ours. A part may have an underscore before its name in the file.
ENTRIES: Mapping[str, Entry] = {
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _CELL),
    "Bidirectional": Entry((("forward_layer/cell", ""), ("backward_layer/cell", ""))),
    "GRU": _CELL,
    "GroupQueryAttention": _HEADS,
    "LSTM": _CELL,
    "MultiHeadAttention": _HEADS,
    "SimpleRNN": _CELL,
}

#: Classes that Keras's files know by another name than its configurations.
NAMES_IN_FILES = {"GroupQueryAttention": "GroupedQueryAttention"}

#: Parts of a layer in a file that hold no weights: the state of random numbers.
_NO_WEIGHTS = {"seed_generator"}

#: Calls of layers, those within models that are called again included, that any configuration may ask for, and how many
#: characters of it pay for one more.
_FREE_CALLS, _CHARACTERS_PER_CALL = 1000, 10
#: How many numbers layers may have, whatever the size of the file: those that scale have some that are in no file.
_FREE_NUMBERS = 1 << 20


class Source:
    """A model of Keras.

    Attributes
    ----------
    description : mapping
        Its configuration, checked.
    arrays : dict of Place to list of Stored
        The arrays of each layer, in Keras's order.
    twins : dict of Place to Place
        For a layer that is in the configuration more than once, as a part of several models: where it is first.
    unread : list of str
        Arrays of layers that are in the file, but in no place where one is known to be.
    room : int or None
        How many numbers there can be in the arrays.
    """

    def __init__(
        self,
        description: Description,
        arrays: dict[Place, list[Stored]],
        twins: dict[Place, Place],
        unread: Sequence[str] = (),
        room: int | None = None,
    ) -> None:
        self.description, self.arrays, self.twins, self.unread, self.room = description, arrays, twins, unread, room

    def check_read(self) -> None:
        """ValueError where the layers leave an array of the source unread."""
        if self.unread:
            more = f" and {len(self.unread) - 8} more" if len(self.unread) > 8 else ""
            raise ValueError(f"the file holds weights that no layer reads: {', '.join(map(repr, sorted(self.unread)[:8]))}{more}")


def is_model(description: Description) -> bool:
    """Whether a layer is a model within one."""
    return "layers" in description["config"]


def layers_of(description: Description, above: Place) -> Iterator[tuple[Place, Description]]:
    """The place and configuration of each layer that is no model, in order."""
    for layer in description["config"]["layers"]:
        place = (*above, name_of(layer))
        if is_model(layer):
            yield from layers_of(layer, place)
        else:
            yield place, layer


def name_of(layer: Description) -> str:
    """Under which the calls of a configuration know the layer."""
    return layer.get("name") or layer["config"]["name"]


def from_model(model: Any) -> Source:
    """The source that a model of Keras is; TypeError where it is none."""
    if not (hasattr(model, "to_json") and hasattr(model, "layers") and hasattr(model, "get_weights")):
        raise TypeError(f"from_keras takes the path of a .keras file or a Keras model, got {type(model).__name__}")
    text = model.to_json()
    with telling("the model of Keras"):
        description = _checked(json.loads(text), len(text))
    arrays: dict[Place, list[Stored]] = {}
    places: dict[int, Place] = {}
    twins: dict[Place, Place] = {}

    def walk(layers: Sequence[Any], above: Place) -> None:
        for layer in layers:
            place = (*above, layer.name)
            first = places.setdefault(id(layer), place)
            if first != place:
                twins[place] = first
            elif hasattr(layer, "layers"):
                walk(layer.layers, place)
            else:
                arrays[place] = [wrap(f"layer {'/'.join(place)!r} of Keras", weight) for weight in layer.get_weights()]

    walk(model.layers, ())
    return Source(description, arrays, twins)


def from_file(file: Opened) -> Source:
    """The source that a file is; ValueError where it is not what Keras 3 writes."""
    description, stored = _checked(file.config, file.characters), file.arrays
    folders: dict[str, dict[str, Stored]] = {}
    for name, array in stored.items():
        folder, _, key = name.rpartition("/")
        folders.setdefault(folder, {})[key] = array
    parts_of = [folder.split("/") for folder in folders]
    known = {"/".join(parts[:i]) for parts in parts_of for i in range(1, len(parts) + 1)}
    arrays: dict[Place, list[Stored]] = {}
    twins: dict[Place, Place] = {}
    firsts: dict[str, Place] = {}
    models: set[str] = set()
    used: set[str] = set()
    shares = _shares(description)

    def walk(model: Description, group: str, above: Place) -> None:
        """Layers go by their classes in files, numbered in order; one that is there for the second time is left out."""
        models.add(group)
        counts: dict[str, int] = {}
        for layer in model["config"]["layers"]:
            own = f"{group}/layers/{numbered_name(layer['class_name'], counts)}".lstrip("/")
            place = (*above, name_of(layer))
            if shares:
                print_of = _fingerprint(layer)
                if "shared_object_id" in layer and own not in known and print_of in firsts:
                    twins[place] = firsts[print_of]
                    continue
                firsts.setdefault(print_of, place)
            if is_model(layer):
                walk(layer, own, place)
                continue
            arrays[place] = []
            tokens = file.vocabularies.get(own)
            if tokens is not None and layer["config"].get("vocabulary") is None:
                lines = tokens.split("\n")
                layer["config"]["vocabulary"] = list(map(int, lines)) if layer["class_name"] == "IntegerLookup" else lines
            for part, _ in groups_of(layer):
                folder = next((near for near in _folders(own, part) if near in folders), "")
                held = folders.get(folder, {}) if folder else {}
                keys = [str(i) for i in range(len(held))]
                if set(keys) != set(held):
                    raise ValueError(f"{folder!r}, of layer {'/'.join(place)!r}, holds {sorted(held)}, expected {keys}")
                arrays[place] += [held[key] for key in keys]
                used.update(f"{folder}/{key}" for key in keys)

    def is_weight(name: str) -> bool:
        """Whether it belongs to a layer, and not to an optimizer, a metric or a generator of random numbers."""
        parts = name.split("/")
        inside = all(part == "layers" or "/".join(parts[:i]) not in models for i, part in enumerate(parts))
        return inside and not _NO_WEIGHTS.intersection(parts)

    walk(description, "", ())
    unread = [name for name in stored if name not in used and is_weight(name)]
    return Source(description, arrays, twins, unread, max(file.size + file.characters, _FREE_NUMBERS))


def _folders(layer: str, part: str) -> Iterator[str]:
    """Where the arrays of a part of a layer may be in a file."""
    outer, _, last = f"{layer}/{part}".rstrip("/").rpartition("/")
    yield f"{outer}/{last}/vars"
    if part:
        yield f"{outer}/_{last}/vars"


def groups_of(layer: Description) -> tuple[tuple[str, str], ...]:
    """As in `Entry`, of a layer that may be the one that a wrapper has."""
    if layer["class_name"] == "TimeDistributed":
        inner = layer["config"].get("layer")
        check_layer(inner, f"the layer within {name_of(layer)!r}")
        return tuple((f"layer/{part}".rstrip("/"), prefix) for part, prefix in groups_of(inner))
    if layer["class_name"] == "RNN":
        cell = layer["config"].get("cell")
        check_layer(cell, f"the cell of {name_of(layer)!r}")
        if cell["class_name"] != "StackedRNNCells":
            return _CELL.groups
        counts: dict[str, int] = {}
        return tuple((f"cell/cells/{numbered_name(one['class_name'], counts)}", "") for one in _cells_of(cell, name_of(layer)))
    return ENTRIES.get(layer["class_name"], Entry()).groups


def _cells_of(stacked: Description, layer: str) -> list[Description]:
    """The cells of a `StackedRNNCells`; ValueError where they are none."""
    cells = _field(stacked["config"], "cells", list, f"the cell of {layer!r}")
    for one in cells:
        check_layer(one, f"a cell of {layer!r}")
    return cells


def numbered_name(class_name: str, counts: dict[str, int]) -> str:
    """What a file calls a layer: its class, and from the second of a class on a number."""
    base = snake_case(NAMES_IN_FILES.get(class_name, class_name))
    number = counts[base] = counts.get(base, -1) + 1
    return base + (f"_{number}" if number else "")


def _shares(description: Description) -> bool:
    """Whether a layer is there more than once."""
    return any("shared_object_id" in layer or (is_model(layer) and _shares(layer)) for layer in description["config"]["layers"])


#: What a layer's configuration says of the place where it is.
_OF_PLACE = {"build_config", "inbound_nodes", "shared_object_id"}


def _fingerprint(layer: Description) -> str:
    """Equal for the same layer in two places."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            own = _OF_PLACE | {"name"} if "config" in value else _OF_PLACE  # a layer's name is in its configuration, too
            return {key: plain(one) for key, one in value.items() if key not in own}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return json.dumps(plain(layer), sort_keys=True)


def _checked(description: Any, characters: int) -> Description:
    """A configuration of so many characters; ValueError unless it has the form of one, and does not blow up where it is run."""
    calls = _check_model(description, "the model")
    if calls > _FREE_CALLS + characters // _CHARACTERS_PER_CALL:
        raise ValueError(f"its configuration, of {characters} characters, describes {calls} calls of layers")
    return description


def _check_model(description: Any, what: str) -> int:
    """How often layers are called in a model, those of models within it included; ValueError where it is no model."""
    kind = description.get("class_name") if isinstance(description, Mapping) else type(description).__name__
    if kind not in ("Sequential", "Functional", "Model"):
        raise ValueError(f"{what} is of class {kind!r}: only Sequential and functional models describe what they compute")
    config = _field(description, "config", dict, what)
    _field(config, "name", str, what)
    names, total = set(), 0
    for layer in _field(config, "layers", list, what):
        check_layer(layer, f"a layer of {what}")
        name = name_of(layer)
        if name in names:
            raise ValueError(f"{what} has two layers named {name!r}")
        names.add(name)
        told = f"layer {name!r} of Keras"
        nodes = [] if kind == "Sequential" else _field(layer, "inbound_nodes", list, told)
        for node in nodes:
            _field(node, "args", list, f"{told}: a call")
            _field(node, "kwargs", dict, f"{told}: a call")
            for history in histories(node):
                if [type(part) for part in history] != [str, int, int]:
                    raise ValueError(
                        f"{told}: a call reads {history!r}, expected a layer, the number of its call and of the output"
                    )
        times = 1 if kind == "Sequential" else len(nodes)
        total += times * (_check_model(layer, told) if is_model(layer) else 1)
    if kind != "Sequential":
        for part in ("input_layers", "output_layers"):
            for key in keys_of(_field(config, part, (list, dict), what)):
                if not isinstance(key, (list, tuple)) or [type(one) for one in key] != [str, int, int]:
                    raise ValueError(f"{what}: {part} names {key!r}, expected a layer, the number of its call and of the output")
    return total


def check_layer(layer: Any, what: str) -> None:
    """ValueError unless it is the configuration of a layer."""
    _field(layer, "class_name", str, what)
    config = _field(layer, "config", dict, what)
    if not isinstance(layer.get("name") or config.get("name"), str):
        raise ValueError(f"{what}, of class {layer['class_name']!r}, has no name")


def _field(description: Any, name: str, kind: type | tuple[type, ...], what: str) -> Any:
    value = description.get(name) if isinstance(description, Mapping) else None
    if not isinstance(value, kind):
        raise ValueError(f"{what}: {name!r} is missing or of another kind than Keras 3 writes: {value!r:.80}")
    return value


def keys_of(plain: Any) -> list[Any]:
    """References to tensors: one, a list of them, or a dictionary, which Keras takes in the order of its keys."""
    if isinstance(plain, Mapping):
        return [plain[key] for key in sorted(plain)]
    return [plain] if plain and isinstance(plain[0], str) else plain


def is_tensor(plain: Any) -> bool:
    """Whether it refers to what a layer returns."""
    return isinstance(plain, Mapping) and plain.get("class_name") == "__keras_tensor__"


def histories(plain: Any) -> Iterator[tuple[Any, ...]]:
    """The tensors that a node of the configuration refers to, in order."""
    if is_tensor(plain):
        yield tuple(plain["config"]["keras_history"])
    elif isinstance(plain, (Mapping, list)):
        for value in plain.values() if isinstance(plain, Mapping) else plain:
            yield from histories(value)
