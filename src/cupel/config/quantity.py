"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"(?:(?P<d>\d{1,6})d)?(?:(?P<h>\d{1,6})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,9})s)?", re.ASCII
)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([KMGT]?)(?:iB|B)?", re.ASCII)
_SHORT = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(us|ms|s|)", re.ASCII)
_SHORT_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)(%?)", re.ASCII)
_BITS = re.compile(r"(\d{1,11}(?:\.\d{1,6})?)(kbit|mbit|gbit|)", re.ASCII)
_BIT_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "": 1.0}
_POWER = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def seconds(text: str) -> float | None:
    """`90d`, `1h30m`, `20m`, `90s` or a bare number of seconds; None if it is none of these."""
    if _SECONDS.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.group("d", "h", "m", "s"))
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def duration(value: float) -> str:
    """The shortest text that `seconds` reads as the value."""
    if value != int(value) or value < 1:
        return f"{value:g}"
    minutes, left = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def size(text: str) -> int | None:
    """Bytes from `4G`, `512M`, `1.5GiB` or a bare number; units are powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    return int(float(match[1]) * (1 << _POWER[match[2]]))


def bytes_text(value: int) -> str:
    """The shortest text that `size` reads as the value."""
    for unit, power in reversed(_POWER.items()):
        if value and value % (1 << power) == 0:
            return f"{value >> power}{unit}"
    return str(value)


LONGEST_DELAY = 10.0
FASTEST = 1e10


def short_seconds(text: str) -> float | None:
    """Seconds from `50ms`, `200us`, `1.5s` or a bare number of seconds."""
    match = _SHORT.fullmatch(text)
    return None if match is None else float(match[1]) * _SHORT_UNITS[match[2]]


def share(text: str) -> float | None:
    """A share from 0 to 1, from `30%` or `0.3`."""
    match = _SHARE.fullmatch(text)
    if match is None:
        return None
    value = float(match[1]) / (100 if match[2] else 1)
    return value if value <= 1 else None


def bits(text: str) -> float | None:
    """Bits per second from `10mbit`, `500kbit`, `1gbit` or a bare number; units of 1000."""
    match = _BITS.fullmatch(text)
    return None if match is None else float(match[1]) * _BIT_UNITS[match[2]]
