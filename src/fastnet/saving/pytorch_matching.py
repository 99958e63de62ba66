"""Which module of PyTorch is for which layer: by a mapping, by names, in order where the order is known, and by shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

__all__ = ["Slot", "match"]

#: A layer takes one module or several: its path, and which of these.
Slot = tuple[str, int]


def match(
    slots: Sequence[Slot],
    modules: Sequence[str],
    given: Mapping[Slot, str],
    named: Sequence[str],
    in_order: bool,
    check: Callable[[Slot, str], None],
) -> dict[Slot, str]:
    """A module for each slot, and no module left.

    Parameters
    ----------
    slots : sequence of Slot
        In the order of the model.
    modules : sequence of str
        Names, as the source lists them.
    given : mapping of Slot to str
        What is decided; the others take the modules that are left.
    named : sequence of str
        Paths of the layers that have been given their names: a module of that name that fits is theirs.
    in_order : bool
        Whether the source lists the modules in the order of a module's own.
    check : callable
        Raises ValueError where a module does not fit a slot.

    Raises
    ------
    ValueError
        If there is no such assignment; or if there are several and neither names nor order say which.
    """

    def fits(slot: Slot, module: str) -> bool:
        try:
            check(slot, module)
        except ValueError:
            return False
        return True

    chosen = dict(given)
    for slot, module in _by_name(slots, modules, named).items():
        if slot not in chosen and module not in chosen.values() and fits(slot, module):
            chosen[slot] = module
    open_slots = [slot for slot in slots if slot not in chosen]
    taken = set(chosen.values())
    left = [module for module in modules if module not in taken]
    if not in_order:
        left.sort(key=_numbered)
    if len(left) < len(open_slots):
        raise ValueError(f"no module is left for layer {open_slots[len(left)][0]!r}")
    if len(left) > len(open_slots):
        more = left[len(open_slots) :]
        raise ValueError(f"no layer is left for module{'s' if len(more) > 1 else ''} {', '.join(map(repr, more))}")
    ordered = dict(zip(open_slots, left))
    if in_order and all(fits(slot, module) for slot, module in ordered.items()):
        return {**chosen, **ordered}
    fitting = [[i for i, module in enumerate(left) if fits(slot, module)] for slot in open_slots]
    pairs = _assign(fitting, len(left))
    if pairs is None:
        for slot, module in ordered.items():
            check(slot, module)
        raise ValueError(f"no way to assign modules {left} to the layers fits all shapes")  # not where one in order does
    for group in _exchangeable(fitting, pairs):
        names = sorted((left[pairs[i]] for i in group), key=_numbered)
        paths = [open_slots[i] for i in group]
        if not (_in_sequence(names) and all(fits(slot, name) for slot, name in zip(paths, names))):
            layers = list(dict.fromkeys(path for path, _ in paths))
            raise ValueError(
                f"modules {', '.join(map(repr, names))} fit layers {', '.join(map(repr, layers))} in more than one way, and the order "
                f"of the arrays is not known to be that of the module: give the module or what its state_dict() returns, or say "
                f"which is which, mapping={{{layers[0]!r}: {names[0]!r}, ...}}"
            )
        for i, name in zip(group, names):
            pairs[i] = left.index(name)
    return {**chosen, **{slot: left[i] for slot, i in zip(open_slots, pairs)}}


def _by_name(slots: Sequence[Slot], modules: Sequence[str], named: Sequence[str]) -> dict[Slot, str]:
    """For layers of one module: that of their path, or the only one whose own name is theirs."""
    last = [path.rpartition("/")[2] for path in named]
    ends: dict[str, list[str]] = {}
    for module in modules:
        ends.setdefault(re.sub(r"\.l0$", "", module).rpartition(".")[2], []).append(module)
    found = {}
    for path, name in zip(named, last):
        whole = path.replace("/", ".")
        same = [module for module in (whole, f"{whole}.l0") if module in modules]
        if not same and last.count(name) == 1:
            same = ends.get(name, [])
        if len(same) == 1 and (path, 1) not in slots:
            found[path, 0] = same[0]
    return found


def _numbered(name: str) -> list[tuple[int, int, str]]:
    """The parts of a name, to sort by: (0, number, ""), with 2 n and 2 n + 1 for a recurrent layer's directions, or (1, 0, text)."""
    found = []
    for part in name.split("."):
        level = re.fullmatch(r"l(\d+)(_reverse)?", part)
        if level:
            found.append((0, 2 * int(level[1]) + bool(level[2]), ""))
        else:
            found.append((0, int(part), "") if part.isdecimal() and len(part) < 10 else (1, 0, part))
    return found


def _in_sequence(names: Sequence[str]) -> bool:
    """Whether sorted names differ first in a number, as those of a Sequential do: these are in the order of the module."""
    for a, b in zip(map(_numbered, names), map(_numbered, names[1:])):
        different = next(((x, y) for x, y in zip(a, b) if x != y), None)
        if different is None or different[0][0] or different[1][0]:
            return False
    return True


def _assign(fitting: Sequence[Sequence[int]], count: int) -> list[int] | None:
    """One of the fitting modules for each slot, each once; None where that cannot be (Kuhn, 1955)."""
    owner: list[int | None] = [None] * count
    for start in range(len(fitting)):
        came: dict[int, tuple[int, int | None]] = {}  # a module: from which slot, and which module that slot had
        left: list[tuple[int, int | None]] = [(start, None)]
        free = None
        while left and free is None:
            slot, before = left.pop()
            for module in fitting[slot]:
                if module not in came:
                    came[module] = slot, before
                    holder = owner[module]
                    if holder is None:
                        free = module
                        break
                    left.append((holder, module))
        if free is None:
            return None
        module: int | None = free
        while module is not None:
            slot, before = came[module]
            owner[module] = slot
            module = before
    pairs = [0] * len(fitting)
    for module, slot in enumerate(owner):
        if slot is not None:
            pairs[slot] = module
    return pairs


def _exchangeable(fitting: Sequence[Sequence[int]], pairs: Sequence[int]) -> list[list[int]]:
    """The groups of slots that could have each other's modules instead, directly or in a circle."""
    holder = {module: slot for slot, module in enumerate(pairs)}
    after = [[holder[module] for module in modules] for modules in fitting]
    before: list[list[int]] = [[] for _ in after]
    for slot, others in enumerate(after):
        for other in others:
            before[other].append(slot)

    def reached(start: int, edges: Sequence[Sequence[int]]) -> set[int]:
        seen, left = {start}, [start]
        while left:
            new = set(edges[left.pop()]) - seen
            seen |= new
            left += new
        return seen

    groups, done = [], set[int]()
    for slot in range(len(pairs)):
        if slot not in done:
            group = reached(slot, after) & reached(slot, before)
            done |= group
            if len(group) > 1:
                groups.append(sorted(group))
    return groups
