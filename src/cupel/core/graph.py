"""What depends on what, as numbers and the numbers that each leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Edges = Callable[[int], Sequence[int]]


def components(start: int, edges: Edges) -> list[list[int]]:
    """What `start` leads to, itself included: each before those that lead to it.

    Numbers that lead to each other in a circle are one component (R. Tarjan, "Depth-first search
    and linear graph algorithms", 1972). The order depends on nothing but that of `edges`.
    """
    walk = _Walk(edges)
    walk.enter(start)
    while walk.path:
        walk.step()
    return walk.found


class _Walk:
    """Tarjan's search with its own stack: a chain may be longer than Python's may be deep."""

    def __init__(self, edges: Edges) -> None:
        self.found: list[list[int]] = []
        self.path: list[tuple[int, Iterator[int]]] = []
        self._edges = edges
        self._seen: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: list[int] = []
        self._closed: set[int] = set()

    def enter(self, node: int) -> None:
        self._seen[node] = self._low[node] = len(self._seen)
        self._open.append(node)
        self.path.append((node, iter(self._edges(node))))

    def step(self) -> None:
        """Go one edge further from the end of the path, or one node back."""
        node, rest = self.path[-1]
        following = next(rest, None)
        if following is None:
            self._leave(node)
        elif following not in self._seen:
            self.enter(following)
        elif following not in self._closed:
            self._low[node] = min(self._low[node], self._seen[following])

    def _leave(self, node: int) -> None:
        self.path.pop()
        if self.path:
            before = self.path[-1][0]
            self._low[before] = min(self._low[before], self._low[node])
        if self._low[node] == self._seen[node]:
            at = self._open.index(node)
            group, self._open = self._open[at:], self._open[:at]
            self._closed.update(group)
            self.found.append(group)


def loop(start: int, edges: Edges) -> list[int] | None:
    """The shortest way from `start` back to it, with both ends; None if there is none."""
    came: dict[int, int] = {}
    pending = [start]
    for node in pending:
        for following in edges(node):
            if following == start:
                return [start, *_back(came, node, start)[::-1], start]
            if following not in came:
                came[following] = node
                pending.append(following)
    return None


def _back(came: dict[int, int], node: int, start: int) -> list[int]:
    way = []
    while node != start:
        way.append(node)
        node = came[node]
    return way
