"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20m", 1200.0),
        ("1h30m", 5400.0),
        ("90s", 90.0),
        ("90d", 7_776_000.0),
        ("45", 45.0),
        ("1.5", 1.5),
        ("", None),
        ("1m1h", None),
        ("m", None),
        ("-5", None),
        ("1h 30m", None),
        ("٣m", None),
        ("9" * 50, None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert quantity.seconds(text) == seconds


@given(st.integers(min_value=1, max_value=10**8))
def test_durations_are_read_as_they_are_shown(seconds: int) -> None:
    assert quantity.seconds(quantity.duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 << 30),
        ("512M", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("64KB", 64 << 10),
        ("1000", 1000),
        ("4g", None),
        ("G", None),
        ("-1G", None),
        ("1e9", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert quantity.size(text) == size


@given(st.integers(min_value=0, max_value=10**9 - 1), st.sampled_from([0, 10, 20, 30]))
def test_sizes_are_read_as_they_are_shown(amount: int, power: int) -> None:
    assert quantity.size(quantity.bytes_text(amount << power)) == amount << power
