"""Results as a picture: how long changes wait, and how many machines are busy, by policy.

One SVG without scripts or fonts of its own. Curves differ by colour and by dashes; colours follow
the reader's light or dark scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence

from cupel.simulate.queueing.compare import Row

WIDTH, LEAST_HEIGHT = 1000, 760
_LEFT, _RIGHT, _PANEL = 70, 690, 290
_TOPS = (50, 420)
_BINS = 240

_LIGHT = ("#0b62c4", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#be185d", "#0e7490", "#374151")
_DARK = ("#7cb7ff", "#ff9d6b", "#6ee7a0", "#d4a5ff", "#fcd34d", "#ff9ecb", "#67e8f9", "#d1d5db")
_DASHES = ("", "7 3", "2 3", "9 3 2 3")


def svg(rows: Sequence[Row]) -> str:
    """The whole picture, as high as its legend needs."""
    height = max(LEAST_HEIGHT, _TOPS[0] + 40 + 20 * len(rows))
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
                ' role="img" aria-labelledby="title desc">'
            ),
            '<title id="title">Merge queue policies compared</title>',
            f'<desc id="desc">{html.escape(_told(rows))}</desc>',
            f"<style>{_style()}</style>",
            f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
            *_latency(rows),
            *_busy(rows),
            *_legend(rows),
            "</svg>\n",
        ]
    )


def _told(rows: Sequence[Row]) -> str:
    """The curves in words, for those who do not see them."""
    parts = (
        f"{row.policy}: half landed within {_time(row.measures['p50_s'].value)},"
        f" 95 % within {_time(row.measures['p95_s'].value)}"
        for row in rows
    )
    return "; ".join(parts)


def _style() -> str:
    def curves(colours: Sequence[str]) -> str:
        return "".join(f".c{n}{{stroke:{colour}}}" for n, colour in enumerate(colours))

    return (
        "text{font:13px system-ui,sans-serif;fill:#1f2937}.head{font-weight:600;font-size:15px}"
        ".ground{fill:#fff}.grid{stroke:#d1d5db;stroke-width:1}.curve{fill:none;stroke-width:2}"
        f"{curves(_LIGHT)}@media(prefers-color-scheme:dark){{text{{fill:#e5e7eb}}"
        f".ground{{fill:#111827}}.grid{{stroke:#374151}}{curves(_DARK)}}}"
    )


def _latency(rows: Sequence[Row]) -> Iterator[str]:
    """The share of changes that landed within a time; the time's axis is logarithmic."""
    waits = [sorted(w for result in row.results for w in result.waits) for row in rows]
    known = [w for each in waits for w in each if w > 0]
    low = math.log10(max(1.0, min(known, default=1.0)))
    high = math.log10(max(known, default=10.0))
    high = max(high, low + 0.1)

    def across(seconds: float) -> float:
        share = (math.log10(max(1.0, seconds)) - low) / (high - low)
        return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, share))

    yield _head(0, "Changes landed within a time of first coming (%)")
    marks = [(100 * n / 4, n / 4) for n in range(5)]
    yield from _down(0, [(f"{mark:.0f}", share) for mark, share in marks])
    yield from _along(0, [(_time(s), across(s)) for s in _moments(10**low, 10**high)])
    for number, each in enumerate(waits):
        step = max(1, len(each) // _BINS)
        points = [
            (across(each[place]), _height(0, (place + 1) / len(each)))
            for place in sorted({*range(0, len(each), step), len(each) - 1})
            if each
        ]
        yield _curve(number, points)


def _busy(rows: Sequence[Row]) -> Iterator[str]:
    """Machines busy over time on the first seed, each point the mean of a stretch."""
    steps = [row.results[0].busy if row.results else () for row in rows]
    end = max((each[-1][0] for each in steps if each), default=3600.0) or 3600.0
    means = [_means(each, end) for each in steps]
    most = max([1.0, *(value for each in means for value in each)])
    yield _head(1, "Machines busy over time (first seed)")
    yield from _down(1, [(f"{n:g}", n / most) for n in _ticks(most)])
    width = _RIGHT - _LEFT
    hours = _ticks(end / 3600)
    yield from _along(1, [(f"{h:g} h", _LEFT + width * h * 3600 / end) for h in hours])
    for number, each in enumerate(means):
        if each:
            points = [
                (_LEFT + width * (place + 0.5) / _BINS, _height(1, value / most))
                for place, value in enumerate(each)
            ]
            yield _curve(number, points)


def _means(steps: Sequence[tuple[float, int]], end: float) -> list[float]:
    """The mean of a step function in each of equal stretches from zero to the end."""
    if not steps:
        return []
    size = end / _BINS
    sums = [0.0] * _BINS
    for (start, value), (stop, _) in zip(steps, [*steps[1:], (end, 0)], strict=True):
        first, last = int(start / size), min(_BINS - 1, int(stop / size))
        for place in range(first, last + 1):
            inside = min(stop, (place + 1) * size) - max(start, place * size)
            sums[place] += value * max(0.0, inside)
    return [each / size for each in sums]


def _legend(rows: Sequence[Row]) -> Iterator[str]:
    for number, row in enumerate(rows):
        height = _TOPS[0] + 14 + 20 * number
        yield _curve(number, [(_RIGHT + 20, height - 4), (_RIGHT + 52, height - 4)])
        name = row.policy if row.landing == "oracle" else f"{row.policy} ({row.landing})"
        yield f'<text x="{_RIGHT + 60}" y="{height}">{html.escape(name)}</text>'


def _head(panel: int, text: str) -> str:
    return f'<text class="head" x="{_LEFT}" y="{_TOPS[panel] - 16}">{text}</text>'


def _height(panel: int, share: float) -> float:
    return _TOPS[panel] + _PANEL * (1 - share)


def _down(panel: int, marks: Sequence[tuple[str, float]]) -> Iterator[str]:
    for text, share in marks:
        y = _height(panel, share)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _along(panel: int, marks: Sequence[tuple[str, float]]) -> Iterator[str]:
    bottom = _TOPS[panel] + _PANEL
    for text, x in marks:
        yield f'<path class="grid" d="M{x:.1f} {_TOPS[panel]}V{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>'


def _curve(number: int, points: Sequence[tuple[float, float]]) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = _DASHES[number // len(_LIGHT) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path class="curve c{number % len(_LIGHT)}"{dashed} d="M{path}"/>'


def _ticks(high: float) -> list[float]:
    """Four to ten round numbers from 0 up to this one."""
    size = 10.0 ** math.floor(math.log10(high / 4))
    size *= max(n for n in (1, 2, 5) if n * size <= high / 4)
    return [n * size for n in range(int(high / size) + 1)]


_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_COARSE = (
    1.0, 10.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, _DAY, 3 * _DAY, 10 * _DAY,
)  # fmt: skip
_FINE = sorted({*_COARSE, *(_MINUTE * n for n in (2, 10, 20, 25, 35, 40, 45, 50, 80, 100))})


def _moments(low: float, high: float) -> list[float]:
    """Round times between two, in seconds; more of them where there would be few."""
    found = [each for each in _COARSE if low <= each <= high]
    return found if len(found) > 2 else [each for each in _FINE if low <= each <= high]


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86400:.3g} d"
