"""Orders of what depends on what, for any graph."""

from __future__ import annotations

import itertools

import hypothesis
from hypothesis import strategies as st

from cupel.core import graph

GRAPHS = st.dictionaries(
    st.integers(0, 7), st.lists(st.integers(0, 7), max_size=4, unique=True), max_size=8
)


def reachable(start: int, edges: dict[int, list[int]]) -> set[int]:
    """Everything that at least one edge away from `start` leads to."""
    found: set[int] = set()
    pending = list(edges.get(start, []))
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += edges.get(node, [])
    return found


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(edges=GRAPHS)
def test_what_is_led_to_comes_first_and_circles_stay_together(edges: dict[int, list[int]]) -> None:
    found = graph.components(0, lambda node: edges.get(node, []))
    flat = [node for group in found for node in group]
    assert sorted(flat) == sorted({0, *reachable(0, edges)})
    for group in found:
        for one, other in itertools.permutations(group, 2):
            assert other in reachable(one, edges)
    for index, group in enumerate(found):
        behind = {node for later in found[index + 1 :] for node in later}
        for node in group:
            assert not behind & reachable(node, edges)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(edges=GRAPHS)
def test_a_way_round_is_one_if_there_is_one(edges: dict[int, list[int]]) -> None:
    way = graph.loop(0, lambda node: edges.get(node, []))
    assert (way is not None) == (0 in reachable(0, edges))
    if way is not None:
        assert (way[0], way[-1]) == (0, 0)
        assert all(there in edges[here] for here, there in itertools.pairwise(way))
        assert len(set(way[1:])) == len(way) - 1


def test_the_shortest_way_round_is_told() -> None:
    edges = {0: [1, 2], 1: [2], 2: [0]}
    assert graph.loop(0, lambda node: edges[node]) == [0, 2, 0]
