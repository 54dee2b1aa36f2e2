"""The lines of a log that say why a build failed, with their numbers.

Only the end of the log is read, where the failed step is, and the beginning of that step: at most
`TAIL` and `HEAD` lines of `WIDEST` characters. What is found is bounded, and harmless to show.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from cupel.log import index, plain, rules
from cupel.log.rules import Rule
from cupel.log.stream import Line, LogReader

TAIL = 5_000
HEAD = 2_000
WIDEST = 600
"""Characters of a line that are looked at and shown."""

MOST = 14
"""Lines of an excerpt."""

HINTED = 1_500
"""Lines that rules are tried on, from either end: a log may consist of nothing but errors."""

ENOUGH = 60
"""Weight below which lines are not shown beside others: they only repeat them in general."""

LAST = 8
"""Lines that are shown where no rule fits: the last ones."""

REMARKS = 12
"""Lines of Cupel's own that are shown, such as what was running when the time was over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A line of an excerpt; `number` is its place in the log, from 0. `found` if a rule fits it.

    The `main` one is shown where there is room for no other.
    """

    number: int
    text: str
    found: bool = True
    main: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """A line as it is looked at. A `remark` is Cupel's own, said while a step ran."""

    number: int
    text: str
    is_remark: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    """Lines that belong together, by their places among those looked at, and what they weigh."""

    weight: int
    turn: int
    places: tuple[int, ...]
    main: int


def of(reader: LogReader, step: int | None) -> list[Shown]:
    """The lines that matter of a step, by default of whatever the log ends with."""
    total = reader.line_count
    lines = _tail(reader, total)
    if step is not None:
        lines = [line for line in lines if line.step == step]
        if lines and lines[0].number == max(0, total - TAIL) and lines[0].number > 0:
            lines = [*_head(reader, step, lines[0].number), *lines]
    return find(lines)


def find(lines: Sequence[Line]) -> list[Shown]:
    """The lines that matter among these; the last ones that are not blank if no rule fits."""
    texts = _texts(lines)
    hits = sorted(_hits(texts), key=lambda hit: (-hit.weight, hit.turn))
    found = _choose(hits)
    remarks = [at for at, text in enumerate(texts) if text.is_remark][-REMARKS:]
    chosen = dict.fromkeys([*sorted(found)[: MOST - len(remarks)], *remarks], True)
    if not found:
        said = [at for at, text in enumerate(texts) if text.text.strip() and not text.is_remark]
        chosen |= dict.fromkeys(said[-LAST:], False)
    main = hits[0].main if hits else next(iter(remarks), max(chosen, default=0))
    return [
        Shown(number=texts[at].number, text=texts[at].text, found=chosen[at], main=at == main)
        for at in sorted(chosen)
    ]


# Reading.


def _tail(reader: LogReader, total: int) -> list[Line]:
    """The last lines; fewer if they are too long to be read at once."""
    count = TAIL
    while True:
        lines = reader.lines(max(0, total - count), count)
        if not lines or lines[-1].number + 1 >= total or count == 1:
            return lines
        count //= 10


def _head(reader: LogReader, step: int, before: int) -> list[Line]:
    """The first lines of a step, of those that come before number `before`."""
    low, high = 0, before
    while low < high:
        middle = (low + high) // 2
        found = reader.lines(middle, 1)
        if not found or found[0].step == index.NO_STEP or found[0].step < step:
            low = middle + 1
        else:
            high = middle
    return [line for line in reader.lines(low, min(HEAD, before - low)) if line.step == step]


def _texts(lines: Iterable[Line]) -> list[_Text]:
    """Whole lines, of those that come in pieces the beginning; made harmless."""
    found: list[_Text] = []
    for line in lines:
        if line.continues and found:
            found[-1] = _longer(found[-1], line.text[: 4 * WIDEST])
        else:
            text = plain.plain(line.text[: 4 * WIDEST])[:WIDEST].rstrip()
            remark = line.stream == "cupel" and line.step != index.NO_STEP
            found.append(_Text(line.number, text, remark))
    return found


def _longer(line: _Text, piece: str) -> _Text:
    """A line and what was printed after its beginning, which may have started it over."""
    text = plain.plain(piece)
    if "\r" not in piece.rstrip("\r"):
        text = line.text + text
    return dataclasses.replace(line, text=text[:WIDEST])


# Choosing.


def _hits(texts: Sequence[_Text]) -> list[_Hit]:
    hinted = [at for at, line in enumerate(texts) if rules.hints(line.text)]
    if len(hinted) > 2 * HINTED:
        hinted = hinted[:HINTED] + hinted[-HINTED:]
    hits = _tracebacks(texts)
    inside = {at for hit in hits for at in hit.places}
    for at in hinted:
        rule = next((r for r in rules.RULES if r.pattern.search(texts[at].text)), None)
        if rule is not None and at not in inside and not texts[at].is_remark:
            hits.append(_hit(texts, at, rule))
    return hits


def _hit(texts: Sequence[_Text], at: int, rule: Rule) -> _Hit:
    places = [at]
    for after in range(at + 1, min(at + 1 + rule.after, len(texts))):
        if not rule.more.search(texts[after].text):
            break
        places.append(after)
    turn = -at if rule.last else at
    return _Hit(weight=rule.weight, turn=turn, places=tuple(places), main=at)


def _choose(hits: Sequence[_Hit]) -> set[int]:
    """The places to show, as many as there is room for; the weightiest hit comes first."""
    chosen: set[int] = set()
    for hit in hits:
        if hit.weight < hits[0].weight and hit.weight < ENOUGH:
            break
        room = MOST - len(chosen)
        chosen.update(hit.places[:room])
        if len(chosen) >= MOST:
            break
    return chosen


# Tracebacks of Python: the last frame that is the project's own, and what was raised.

_TRACEBACK = 92
_BEGINS = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "([^"]{1,400})", line [0-9]+')
_FOREIGN = re.compile(r"/site-packages/|/dist-packages/|/lib/python[0-9.]+/|^<")
_DEEPEST = 400
"""Lines of a traceback that are followed."""


def _tracebacks(texts: Sequence[_Text]) -> list[_Hit]:
    begun = [at for at, line in enumerate(texts) if line.text.endswith(_BEGINS)]
    if len(begun) > 2 * MOST:
        begun = begun[:MOST] + begun[-MOST:]
    # What is raised last is what nobody has caught.
    found = [(at, _traceback(texts, at)) for at in begun]
    return [
        _Hit(weight=_TRACEBACK, turn=-at, places=places, main=places[-1]) for at, places in found
    ]


def _traceback(texts: Sequence[_Text], begin: int) -> tuple[int, ...]:
    """The places of a traceback that matter; its lines may have something in front of them."""
    front = len(texts[begin].text) - len(_BEGINS)
    frame: int | None = None
    own: int | None = None
    for at in range(begin + 1, min(begin + _DEEPEST, len(texts))):
        text = texts[at].text[front:]
        found = _FRAME.match(text)
        if found is not None:
            frame = at
            own = own if _FOREIGN.search(found.group(1)) else at
        elif not text.startswith(" ") and text:
            shown = own if own is not None else frame
            return (at,) if shown is None else (*_with_source(texts, shown, front), at)
    return (begin,)


def _with_source(texts: Sequence[_Text], frame: int, front: int) -> tuple[int, ...]:
    """A frame, with the line of source beneath it if there is one."""
    text = texts[frame + 1].text[front:]
    return (frame,) if _FRAME.match(text) or not text.startswith(" ") else (frame, frame + 1)
