from __future__ import annotations

import pytest

from cupel.web import text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"), (0.0844, "84 ms"), (0.9996, "1.0 s"), (9.94, "9.9 s"), (9.96, "10 s"),
        (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"), (44, "just now"), (45, "1 min ago"), (89 * 60, "89 min ago"),
        (91 * 60, "2 h ago"), (35 * 3600, "35 h ago"), (37 * 3600, "2 d ago"),
        (61 * 86400, "on 1969-11-01"),
    ],
)  # fmt: skip
def test_how_long_ago(seconds: float, said: str) -> None:
    assert text.ago(-seconds, 0.0) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "10 s"), (9.9, "10 s"), (31, "40 s"), (50, "50 s"), (51, "1 min"),
        (61, "2 min"), (3599, "1 h 00 min"), (5000, "1 h 20 min"), (40_000, "11 h"),
        (3 * 86400, "3 d"),
    ],
)  # fmt: skip
def test_times_that_nobody_knows_exactly(seconds: float, said: str) -> None:
    assert text.roughly(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (412 << 20, "412 MiB"), (5 << 40, "5 TiB")],
)
def test_sizes(count: int, said: str) -> None:
    assert text.size(count) == said


def test_times() -> None:
    assert text.moment(1_790_000_000.5) == "2026-09-21 14:13:20 UTC"
    assert text.iso(1_790_000_000.5) == "2026-09-21T14:13:20.500Z"
    assert text.clock(1_790_000_000.5) == "14:13:20"


def test_shortened() -> None:
    assert text.shortened("short") == "short"
    assert len(text.shortened("x" * 10_000)) == 200


def test_what_hides_is_visible() -> None:
    assert text.visible("<b>\u200b") == '&lt;b&gt;<span class="ctl">U+200B</span>'
    assert text.visible("👩‍🚀 שלום") == "👩‍🚀 שלום"
