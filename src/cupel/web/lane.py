"""The lane of a queue: who stands on whom, as lines that run through the rows of a list. Pure.

Each row has a picture of its own, as high as the row, so that rows can come and go by themselves.
A line that goes on below is drawn far beyond the picture, which cuts it off.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

LEFT, STEP, TOP = 13, 20, 20
"""Where the first column and each further one is, and how far down a row its node is, in pixels."""

BEND = 14
"""Pixels above and below a node in which a line changes its column."""

FAR = 9999
MOST = 6
"""Columns at most: what needs more is drawn over the last one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What stands in a row: it stands on `parent` (None: on the branch). One that is `out` stands
    beside the lane, as one that is `bad` does. `hidden` is how many others there are between it and
    its parent. One that is `to_be` has no state yet, so that it will stand there."""

    id: int
    parent: int | None
    out: bool = False
    bad: bool = False
    hidden: int = 0
    to_be: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A row's part of the lane: `lines` and `bad` are for the `d` of SVG paths, the latter lead
    to what is bad; `gaps` lead over rows that are not shown, or to what has no
    state yet. `x` is of the node."""

    x: int
    lines: str
    bad: str
    gaps: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The pictures of the branch's own row and of each node, with so many columns."""

    columns: int
    base: Picture
    pictures: tuple[Picture, ...]


def shown(nodes: Sequence[Node], visible: Iterable[int]) -> list[Node]:
    """The nodes that are visible, each on the nearest one beneath it that is visible too."""
    chosen = set(visible)
    found: list[Node] = []
    beneath: dict[int, tuple[int | None, int]] = {}
    for node in nodes:
        parent, hidden = (None, 0) if node.parent is None else beneath.get(node.parent, (None, 0))
        if node.id in chosen:
            found.append(dataclasses.replace(node, parent=parent, hidden=hidden))
            beneath[node.id] = (node.id, 0)
        else:
            beneath[node.id] = (parent, hidden + 1)
    return found


def draw(nodes: Sequence[Node]) -> Drawing:
    """Nodes from the branch on, each after what it stands on."""
    return _Drawing(nodes).draw()


class _Drawing:
    """Rows are numbered from the branch, which is row 0."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        rows = {node.id: row for row, node in enumerate(nodes, 1)}
        self.parent = [-1, *(rows.get(node.parent, 0) if node.parent else 0 for node in nodes)]
        self.children: defaultdict[int, list[int]] = defaultdict(list)
        for row, parent in enumerate(self.parent[1:], 1):
            self.children[parent].append(row)
        self.heir = self._heirs()
        self.column = self._columns()
        count = len(self.parent)
        self.lines: list[list[str]] = [[] for _ in range(count)]
        self.bad: list[list[str]] = [[] for _ in range(count)]
        self.gaps: list[list[str]] = [[] for _ in range(count)]

    def draw(self) -> Drawing:
        for parent in self.children:
            self._lead(parent)
        for row in range(1, len(self.parent)):
            self._join(row)
        pictures = [
            Picture(
                x=_x(self.column[row]),
                lines="".join(self.lines[row]),
                bad="".join(self.bad[row]),
                gaps="".join(self.gaps[row]),
            )
            for row in range(len(self.parent))
        ]
        columns = max(self.column.values()) + 1
        return Drawing(columns=columns, base=pictures[0], pictures=tuple(pictures[1:]))

    def _spine(self) -> list[int]:
        """The rows from the last that is not out down to the branch."""
        at = max(
            (row for row, node in enumerate(self.nodes, 1) if not (node.out or node.bad)), default=0
        )
        found = [at]
        while at > 0:
            at = self.parent[at]
            found.append(at)
        return found

    def _heirs(self) -> dict[int, int]:
        """By row, the one on it that goes on in its column."""
        spine = self._spine()
        found = {parent: row for row, parent in itertools.pairwise(spine)}
        top = spine[0]
        for row, children in self.children.items():
            if row not in found and row != top:
                found[row] = children[-1]
        return found

    def _end(self, row: int) -> int:
        """The row to which a node's own column leads."""
        return self.heir.get(row, max(self.children.get(row, ()), default=row))

    def _begin(self, row: int) -> int:
        """Where the line to a node that is no heir leaves the column of what it stands on."""
        parent = self.parent[row]
        return row if row <= self._end(parent) else parent

    def _columns(self) -> dict[int, int]:
        heirs = set(self.heir.values())
        firsts = [row for row in range(1, len(self.parent)) if row not in heirs]
        found = dict.fromkeys(self._chain(0), 0)
        busy: list[int] = []
        for row in sorted(firsts, key=lambda each: (self._begin(each), each)):
            chain = self._chain(row)
            begin, end = self._begin(row), self._end(chain[-1])
            at = next((at for at, until in enumerate(busy) if until < begin), len(busy))
            at = min(at, MOST - 2)
            busy[at : at + 1] = [end]
            found |= dict.fromkeys(chain, at + 1)
        return found

    def _chain(self, row: int) -> list[int]:
        found = [row]
        while row in self.heir:
            row = self.heir[row]
            found.append(row)
        return found

    def _kind(self, row: int) -> list[list[str]]:
        node = self.nodes[row - 1]
        return self.gaps if node.hidden or node.to_be else self.bad if node.bad else self.lines

    def _lead(self, parent: int) -> None:
        """Draw a node's own column as far as it leads: to its heir, or else to the last on it."""
        heir, x, end = self.heir.get(parent), _x(self.column[parent]), self._end(parent)
        kind = self._kind(end if heir is None else heir)
        kind[parent].append(f"M{x} {TOP}V{FAR}")
        for between in range(parent + 1, end):
            kind[between].append(f"M{x} 0V{FAR}")
        kind[end].append(f"M{x} 0V{TOP if heir == end else TOP - BEND}")

    def _join(self, row: int) -> None:
        """Draw the line to a node that is no heir from the column of what it stands on."""
        parent, kind = self.parent[row], self._kind(row)
        if self.heir.get(parent) == row:
            return
        here, there = _x(self.column[row]), _x(self.column[parent])
        if self._begin(row) == row:
            kind[row].append(f"M{there} {TOP - BEND}Q{there} {TOP} {here} {TOP}")
            return
        kind[parent].append(f"M{there} {TOP}Q{here} {TOP} {here} {TOP + BEND}V{FAR}")
        for between in range(parent + 1, row):
            kind[between].append(f"M{here} 0V{FAR}")
        kind[row].append(f"M{here} 0V{TOP}")


def _x(column: int) -> int:
    return LEFT + STEP * column
