"""A sum of numbered pieces in an order that does not depend on who has which.

The pieces are the leaves of a binary tree, and the sum of a node is that of its left half plus that of its right one. A process that has
adjacent pieces adds up what it can, the largest nodes that lie within; these are exchanged, and the rest is added up in the same way by
all. So there are as few messages as the tree allows: one from each process where their number divides that of the pieces as the tree does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Node", "halves", "nodes_within", "part", "postfix"]

#: The pieces from the first number to the second, which is not among them.
Node = tuple[int, int]


def part(n: int, parts: int, i: int) -> tuple[int, int]:
    """Where the part of that number begins and ends, of n things in adjacent parts as equal as can be."""
    return n * i // parts, n * (i + 1) // parts


def halves(node: Node) -> tuple[Node, Node]:
    """The two nodes that a node of several pieces is the sum of."""
    first, end = node
    middle = (first + end + 1) // 2
    return (first, middle), (middle, end)


def nodes_within(node: Node, first: int, end: int) -> list[Node]:
    """The largest nodes of a tree that lie within a range of pieces, in order."""
    if end <= node[0] or node[1] <= first:
        return []
    if first <= node[0] and node[1] <= end:
        return [node]
    return [found for half in halves(node) for found in nodes_within(half, first, end)]


def postfix(node: Node, known: Mapping[Node, Any]) -> list[Any]:
    """How to add up a node, from those that are known: these in order, and None for each sum of the two operands before it."""
    if node in known:
        return [known[node]]
    left, right = halves(node)
    return [*postfix(left, known), *postfix(right, known), None]
