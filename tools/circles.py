"""Circles in a graph of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def find_circle(edges: Mapping[str, set[str]]) -> list[str]:
    """A path of nodes that ends where it began, or an empty list. An edge from a node to itself is none."""
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        pending = [(start, False)]
        while pending:
            node, leaving = pending.pop()
            if leaving:
                path.pop()
                done.add(node)
            elif node in path:
                return [*path[path.index(node) :], node]
            elif node not in done:
                path.append(node)
                pending.append((node, True))
                pending += [
                    (target, False) for target in sorted(edges.get(node, ())) if target != node
                ]
    return []


def circle_faults(edges: Mapping[str, set[str]], excepted: Iterable[tuple[str, str]]) -> list[str]:
    """One line for a circle, where the excepted pairs are none, and one for each such pair that is no circle."""
    left = {node: set(targets) for node, targets in edges.items()}
    stale = []
    for one, other in excepted:
        if other in left.get(one, ()) and one in left.get(other, ()):
            left[one].discard(other)
        else:
            stale.append(f"{one} and {other} are no circle: take them off CIRCLES")
    found = find_circle(left)
    return stale + ([f"circle: {' -> '.join(found)}"] if found else [])
