"""The lane, by what is drawn: which column each node stands in, and what its lines lead to."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cupel.web import lane
from cupel.web.lane import Node


def columns(nodes: list[Node]) -> list[int]:
    return [(each.x - lane.LEFT) // lane.STEP for each in lane.draw(nodes).pictures]


def test_a_queue_is_one_line() -> None:
    nodes = [Node(id=1, parent=None), Node(id=2, parent=1), Node(id=3, parent=2)]
    drawn = lane.draw(nodes)
    assert columns(nodes) == [0, 0, 0]
    assert drawn.base.lines == f"M13 20V{lane.FAR}"
    assert drawn.pictures[0].lines == f"M13 0V20M13 20V{lane.FAR}"
    assert drawn.pictures[2].lines == "M13 0V20"


def test_what_fails_stands_beside_and_those_behind_it_on_what_is_ahead_of_it() -> None:
    nodes = [
        Node(id=1, parent=None),
        Node(id=2, parent=1, bad=True),
        Node(id=3, parent=1),
        Node(id=4, parent=3),
    ]
    drawn = lane.draw(nodes)
    assert columns(nodes) == [0, 1, 0, 0]
    failing = drawn.pictures[1]
    assert failing.lines == f"M13 0V{lane.FAR}"  # from 1 to 3, past it
    assert failing.bad == "M13 6Q13 20 33 20"  # from that line to it
    assert drawn.pictures[2].lines.startswith("M13 0V20")


def test_those_that_stand_on_what_fails_are_drawn_on_it() -> None:
    nodes = [
        Node(id=1, parent=None, bad=True),
        Node(id=2, parent=1),
        Node(id=3, parent=None),
    ]
    assert columns(nodes) == [1, 1, 0]
    assert lane.draw(nodes).pictures[1].lines == f"M13 0V{lane.FAR}M33 0V20"


def test_one_that_stands_further_back_has_a_line_of_its_own() -> None:
    nodes = [
        Node(id=1, parent=None),
        Node(id=2, parent=1),
        Node(id=3, parent=None, bad=True),
        Node(id=4, parent=2),
    ]
    assert columns(nodes) == [0, 0, 1, 0]
    drawn = lane.draw(nodes)
    assert drawn.base.bad == f"M13 20Q33 20 33 34V{lane.FAR}"
    assert drawn.pictures[0].bad == f"M33 0V{lane.FAR}"
    assert drawn.pictures[2].bad == "M33 0V20"


def test_the_last_may_stand_beside() -> None:
    nodes = [Node(id=1, parent=None), Node(id=2, parent=1, bad=True)]
    drawn = lane.draw(nodes)
    assert columns(nodes) == [0, 1]
    assert drawn.pictures[0].bad == f"M13 20V{lane.FAR}"
    assert drawn.pictures[1].bad == "M13 0V6M13 6Q13 20 33 20"


def test_all_may_stand_beside() -> None:
    nodes = [Node(id=1, parent=None, bad=True), Node(id=2, parent=None, bad=True)]
    assert columns(nodes) == [1, 1]


def test_of_some_only_the_nearest_shown_beneath_is_drawn_over_a_gap() -> None:
    nodes = [Node(id=1, parent=None), *(Node(id=n, parent=n - 1) for n in range(2, 8))]
    found = lane.shown(nodes, [2, 6, 7])
    assert [(each.parent, each.hidden) for each in found] == [(None, 1), (2, 3), (6, 0)]
    assert lane.draw(found).pictures[1].gaps == "M13 0V20"
    assert lane.draw(found).pictures[2].lines == "M13 0V20"


def test_what_has_no_state_yet_is_drawn_as_a_gap() -> None:
    nodes = [Node(id=1, parent=None), Node(id=2, parent=1, to_be=True)]
    drawn = lane.draw(nodes)
    assert (drawn.pictures[1].lines, drawn.pictures[1].gaps) == ("", "M13 0V20")


def test_nothing_is_drawn_as_the_branch_alone() -> None:
    drawn = lane.draw([])
    assert (drawn.base.lines, drawn.pictures) == ("", ())


@st.composite
def queues(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(1, 25))
    return [
        Node(
            id=number,
            parent=draw(st.integers(0, number - 1)) or None,
            out=draw(st.booleans()),
            bad=draw(st.booleans()),
        )
        for number in range(1, count + 1)
    ]


@given(queues())
def test_every_line_is_joined_to_what_is_above_and_below(nodes: list[Node]) -> None:
    """What leaves a row at its lower edge enters the next one at its upper edge, nothing else."""
    drawn = lane.draw(nodes)
    rows = [drawn.base, *drawn.pictures]
    for above, below in zip(rows, [*rows[1:], None], strict=True):
        leaving = {*re.findall(rf"M(\d+) \d+V{lane.FAR}", all_of(above))}
        leaving |= {*re.findall(rf"Q\d+ \d+ (\d+) \d+V{lane.FAR}", all_of(above))}
        entering = {*re.findall(r"M(\d+) 0V", all_of(below))} if below else set()
        entering |= {*re.findall(r"M(\d+) 6Q", all_of(below))} & leaving if below else set()
        assert leaving == entering


@given(queues())
def test_nobody_stands_on_another_ones_line(nodes: list[Node]) -> None:
    drawn = lane.draw(nodes)
    if drawn.columns == lane.MOST:
        return  # there, lines may lie over each other
    for picture in drawn.pictures:
        passing = re.findall(rf"M(\d+) 0V{lane.FAR}", all_of(picture))
        assert str(picture.x) not in passing


def all_of(picture: lane.Picture) -> str:
    return picture.lines + picture.bad + picture.gaps
