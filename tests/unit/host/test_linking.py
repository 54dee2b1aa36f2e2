"""Lines between machines, and what `cupel-link` asks of them."""

from __future__ import annotations

import pytest

from cupel.errors import UserError
from cupel.host import linking
from cupel.host.messages import LinkSpec
from cupel.host.providers.inside.line import QUEUE, Line

NAMES = ("client", "server")


def never() -> float:
    return 0.999


def test_a_line_delays_and_loses() -> None:
    assert Line().is_perfect
    assert Line(delay=0.05).arrival(10.0, 100, never) == 10.05
    assert Line(loss=0.3).arrival(10.0, 100, lambda: 0.29) is None
    assert Line(loss=0.3).arrival(10.0, 100, lambda: 0.3) == 10.0
    assert Line(cut=True).arrival(10.0, 100, never) is None


def test_a_slow_line_sends_one_frame_after_the_other_and_drops_what_would_wait_too_long() -> None:
    line = Line(rate=8000.0, delay=1.0)
    assert line.arrival(10.0, 100, never) == pytest.approx(11.1)
    assert line.arrival(10.0, 100, never) == pytest.approx(11.2)
    line.free = 10.0 + QUEUE + 0.01
    assert line.arrival(10.0, 100, never) is None
    assert line.arrival(20.0, 100, never) == pytest.approx(21.1)


def test_what_is_not_mentioned_stays() -> None:
    before = LinkSpec(one="server", other="client", delay=0.05)
    links = {frozenset(NAMES): before}
    link = linking.changed(["client", "server", "--loss", "30%", "--down"], NAMES, links)
    assert link == LinkSpec(one="server", other="client", delay=0.05, loss=0.3, cut=True)
    links = {frozenset(NAMES): link}
    assert not linking.changed(["client", "server", "--up"], NAMES, links).cut
    cleared = linking.changed(["client", "server", "--clear"], NAMES, links)
    assert cleared == LinkSpec(one="server", other="client")
    rate = linking.changed(["client", "server", "--rate", "10mbit"], NAMES, {})
    assert rate.rate == 1e7
    assert linking.changed(["client", "server", "--rate", "0"], NAMES, {}).rate is None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("client", "usage"),
        ("client server", "usage"),
        ("client nobody --down", "no machine 'nobody'"),
        ("client client --down", "no link to itself"),
        ("client server --loss 130%", "--loss can't be '130%'"),
        ("client server --delay 11s", "--delay can't be '11s'"),
        ("client server --delay", "'--delay' is not understood"),
        ("client server --break", "'--break' is not understood"),
    ],
)
def test_nonsense_is_refused_in_words(words: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        linking.changed(words.split(), NAMES, {})
