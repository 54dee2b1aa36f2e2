"""How plain values look: hostile text, durations, times, sizes. Pure; the time is an argument."""

from __future__ import annotations

import datetime as dt
import functools
import math
import re

from markupsafe import Markup, escape

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls
    "\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or reorders text
    "\ufff9-\ufffb]|[\U000e0000-\U000e007f]"
)


def visible(value: object) -> Markup:
    """Text from outside as HTML: escaped, and what would hide or reorder text is spelt out."""
    said = str(value)
    return _visible(said) if len(said) <= _SHORT else _made_visible(said)


def _made_visible(value: str) -> Markup:
    return Markup(_INVISIBLE.sub(_spelt, str(escape(value))))  # noqa: S704 - escaped before


_SHORT = 200
"""Characters up to which text is remembered: names of jobs and people stand on a page by the
thousand."""

_visible = functools.lru_cache(4096)(_made_visible)


def _spelt(match: re.Match[str]) -> str:
    return f'<span class="ctl">U+{ord(match[0]):04X}</span>'


_NUMBER = re.compile(r"(?<![\w&/#])#(\d{1,9})\b")


def linked(value: Markup) -> Markup:
    """What `visible` gives, with links to the changes that it names as `#7`."""
    link = r'<a class="num" href="/changes/\1">#\1</a>'
    return Markup(_NUMBER.sub(link, str(value)))  # noqa: S704 - escaped before


def legible(value: object) -> str:
    """Text from outside for a title or an attribute, where no markup can be."""
    return _INVISIBLE.sub(lambda match: f"(U+{ord(match[0]):04X})", str(value))


def shortened(value: str, limit: int = 200) -> str:
    """At most `limit` characters; the cut is marked."""
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """As a person would say it: `84 ms`, `2.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else elapsed(seconds + 0.5)


def elapsed(seconds: float) -> str:
    """A duration that goes on, in whole seconds that have passed."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def roughly(seconds: float) -> str:
    """A time that nobody knows exactly: `10 s`, `40 s`, `4 min`, `1 h 20 min`, `3 d`."""
    if seconds <= 50:
        return f"{max(1, math.ceil(seconds / 10)) * 10} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 600:
        return f"{minutes // 60} h {minutes % 60 // 10 * 10:02d} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} d"


def ago(at: float, now: float) -> str:
    """How long ago, coarsely: a page that is a second old is not wrong."""
    seconds = now - at
    if seconds < 45:
        return "just now"
    for unit, size, limit in (("min", 60, 90), ("h", 3600, 36), ("d", 86400, 60)):
        count = round(seconds / size)
        if count < limit:
            return f"{max(count, 1)} {unit} ago"
    return "on " + moment(at)[:10]


def moment(at: float) -> str:
    """The full time in UTC, for titles."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float) -> str:
    """The time for a `datetime` attribute, to the millisecond."""
    stamp = dt.datetime.fromtimestamp(at, dt.UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: float) -> str:
    """The time of day in UTC, for log lines."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%H:%M:%S}"


def size(count: int) -> str:
    """Bytes in binary units with three significant digits."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def sentence(value: str) -> str:
    """With a capital first letter, as when it stands alone."""
    return value[:1].upper() + value[1:]


def blank(value: str, column: int) -> str:
    """As wide as what stands before a column (from 1 on) of a line: for a caret below it."""
    return "".join("\t" if char == "\t" else " " for char in value[: max(column - 1, 0)])
