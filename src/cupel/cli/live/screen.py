"""How `cupel top` looks: lines of text that fit a screen, from what was seen. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from rich.text import Text

from cupel.cli import output, terminal
from cupel.cli.change import name_of
from cupel.cli.live import seen
from cupel.cli.live.seen import History, Load, Look, Snapshot
from cupel.control.views import HostView, ItemView, JobView, QueueView
from cupel.web.text import roughly

BARS = "▁▂▃▄▅▆▇█"

NARROW, WIDE = 60, 110
"""Columns below which lines get short, and from which there is room for all."""

_JOBS = 12
"""Jobs of an item that are shown one by one; of more, only how many are done."""


def draw(
    snapshot: Snapshot, look: Look, history: History, *, width: int, height: int, now: float
) -> list[Text]:
    """The screen: at most `height` lines of at most `width` columns."""
    head = [_title(snapshot, width), *_notes(snapshot, look, now)]
    foot = _keys(look)
    item = seen.chosen(snapshot, look) if look.opened else None
    if item is not None:
        body = _opened(snapshot, look, item, height - len(head) - 1, now - snapshot.at)
    else:
        hosts = _hosts(snapshot.hosts, history, width, max(1, height // 4))
        head += [*hosts, Text("")] if height >= 12 else hosts[:1]
        body = _queues(snapshot, look, width, height - len(head) - 1, now - snapshot.at)
    room = max(0, height - len(head) - 1)
    lines = [*head, *body[:room], *[Text("")] * (room - len(body)), foot][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def page(snapshot: Snapshot, history: History, *, width: int) -> list[str]:
    """All of it as plain lines, for where there is no screen."""
    look = Look()
    lines = [
        _title(snapshot, width),
        *_hosts(snapshot.hosts, history, width, len(snapshot.hosts) or 1),
        Text(""),
        *_queues(snapshot, look, max(width, WIDE), 1_000_000, 0.0),
    ]
    return [line.plain.rstrip() for line in lines]


def _title(snapshot: Snapshot, width: int) -> Text:
    """The server and how much there is of everything: the longest way to say it that fits."""
    status = snapshot.status
    title = Text("cupel", style="bold")
    if status is None:
        return title
    counts = status.counts
    gate, running, waiting = counts.queue_length, counts.builds_running, counts.builds_queued
    short = f"{gate} in the gate, {running} run, {waiting} wait"
    full = (
        f"{gate} in the gate · {running} builds run · {waiting} wait"
        f" · {counts.machines} of {counts.slots} machines"
    )
    url = terminal.single(status.url.partition("://")[2])
    for place, said in ((url, full), (url, short), ("", short)):
        used = len(f"cupel  {place}") if place else len("cupel")
        if used + 2 + len(said) <= width or not place:
            title.append(f"  {place}" if place else "", style="not bold dim")
            title.append(f"{' ' * max(2, width - used - len(said))}{said}", style="not bold")
            break
    return title


def _notes(snapshot: Snapshot, look: Look, now: float) -> list[Text]:
    """What is unusual: no server, a pause, a filter."""
    lines = []
    if snapshot.trouble is not None:
        age = f", as it was {_short(now - snapshot.at)} ago" if snapshot.status is not None else ""
        lines.append(Text(f"! {terminal.single(snapshot.trouble)}{age}", style="bold magenta"))
    if look.paused:
        lines.append(Text("paused; p goes on", style="bold yellow"))
    if look.typing or look.filter:
        cursor = "▏" if look.typing else ""
        lines.append(Text(f"/{terminal.single(look.filter)}{cursor}", style="bold"))
    return lines


def _keys(look: Look) -> Text:
    if look.typing:
        return Text("enter keeps the filter, esc drops it", style="dim")
    if look.opened:
        return Text("esc back  ↑↓ job  p pause", style="dim")
    return Text("q quit  ↑↓ select  enter log  / filter  p pause", style="dim")


# Hosts.


def _hosts(hosts: Sequence[HostView], history: History, width: int, most: int) -> list[Text]:
    if not hosts:
        return [Text("no hosts: nothing makes machines", style="bold magenta")]
    shown = hosts if len(hosts) <= most else hosts[: most - 1]
    longest = max(len(host.name) for host in shown)
    named = min(longest, 12 if width < NARROW else 24)
    lines = [_host(host, history.of(host.name), named, width) for host in shown]
    if len(shown) < len(hosts):
        lines.append(Text(f"and {len(hosts) - len(shown)} more hosts", style="dim"))
    return lines


_MEASURES: tuple[tuple[str, str, Callable[[Load], float]], ...] = (
    ("cpu", "cpu", lambda load: load.cpu),
    ("memory", "mem", lambda load: load.memory),
    ("machines", "used", lambda load: load.machines),
    ("pressure", "psi", lambda load: load.waits),
)


def _host(host: HostView, loads: Sequence[Load], named: int, width: int) -> Text:
    """A host in a line: its machines, and lines of its load, as many as fit."""
    line = Text(f"{_fitted(host.name, named)} {host.used:>2}/{host.slots:<2}")
    why = host.waiting or host.refuses or ("draining" if host.draining else None)
    if host.state != "connected":
        why = f"{host.state}, last seen {host.detail or ''}".rstrip(", ")
    if why is not None:
        line.append(f" ! {terminal.single(why)}", style="magenta")
        return line
    if not loads or host.load is None:
        line.append(" its load is not known yet", style="dim")
        return line
    short = width < NARROW + 20
    room = width - line.cell_len
    measures = list(_MEASURES)
    while measures and _spark_width(measures, room, short=short) < 3:
        measures.pop()
    wide = min(20, _spark_width(measures, room, short=short)) if measures else 0
    for name, brief, value in measures:
        part = value(loads[-1])
        line.append(f"  {brief if short else name}", style="dim")
        line.append(f"{part:>5.0%}")
        if len(loads) > 1:
            bars = spark([value(load) for load in loads], wide)
            line.append(f" {bars}", style=_heat(part))
    return line


def _spark_width(
    measures: Sequence[tuple[str, str, Callable[[Load], float]]], room: int, *, short: bool
) -> int:
    names = sum(len(brief if short else name) for name, brief, _ in measures)
    return (room - names - 8 * len(measures)) // max(1, len(measures))


def spark(values: Sequence[float], width: int) -> str:
    """A line of bars of values from 0 to 1, the newest last."""
    shown = list(values)[-width:] if width else []
    bars = "".join(BARS[min(len(BARS) - 1, int(value * len(BARS)))] for value in shown)
    return bars.ljust(width)


def _heat(part: float) -> str:
    return "red" if part >= 0.9 else "yellow" if part >= 0.7 else "green"


# Queues.


def _queues(snapshot: Snapshot, look: Look, width: int, room: int, age: float) -> list[Text]:
    """The queues: what each change waits for where there is room, else that of the selected one;
    scrolled so that this is there."""
    if not seen.shown(snapshot, look) and snapshot.status is not None:
        nothing = "nothing fits the filter" if look.filter else "nothing is queued"
        return [Text(nothing, style="dim")]
    lines, at = _listed(snapshot, look, width, age, every=True)
    if len(lines) > room:
        lines, at = _listed(snapshot, look, width, age, every=False)
    first = 0 if at <= 2 else max(0, min(at - room // 2, len(lines) - room))
    return lines[first : first + room]


def _listed(
    snapshot: Snapshot, look: Look, width: int, age: float, *, every: bool
) -> tuple[list[Text], int]:
    """All lines, and where the selected item is. `every`: each live item says what it waits for."""
    lines: list[Text] = []
    at = 0
    for queue, items in seen.shown(snapshot, look):
        if lines:
            lines.append(Text(""))
        lines.append(_queue(queue, width))
        for item in items:
            selected = item.id == look.selected
            at = len(lines) if selected else at
            lines.append(_row(item, width, age, selected=selected))
            if selected:
                lines += _more(item, width)
            elif every and width < WIDE and item.finished_at is None:
                lines += _note(item.waiting, width)[:1]
        if not look.filter:
            lines += [
                Text(f"  #{kept.change.id} · kept out: {terminal.single(kept.text)}", style="dim")
                for kept in queue.kept_out
            ]
    return lines, at


def _queue(queue: QueueView, width: int) -> Text:
    line = Text(f"{terminal.single(queue.name)} {terminal.single(queue.branch)}", style="bold")
    head = next((each.head for each in queue.heads if each.head), None)
    if head is not None and len(queue.heads) == 1 and width >= NARROW:
        line.append(f" at {head[:12]}", style="not bold dim")
    line.append(f"  {len(queue.gate)} in the gate", style="not bold dim")
    if queue.gate and queue.estimate.empties is not None:
        left = roughly(queue.estimate.empties)
        line.append(f", empty in about {left}", style="not bold dim")
    if queue.rules.closed:
        line.append(f"  closed: {terminal.single(queue.rules.closed)}", style="bold magenta")
    return line


def _row(item: ItemView, width: int, age: float, *, selected: bool) -> Text:
    """An item in a line: number, state, jobs, how long, then what it is and what it waits for."""
    number = f"#{item.change}" if item.change is not None else item.commit[:7]
    symbol, style = output.STYLES.get(item.status, ("·", "dim"))
    line = Text("▸ " if selected else "  ", style="bold")
    line.append(f"{number:<6}", style="bold" if selected else "not bold")
    if width >= NARROW:
        line.append(f"{'' if item.pipeline == 'gate' else item.pipeline:<6}", style="not bold dim")
    line.append(f" {symbol} ", style=f"not bold {style}")
    if width >= NARROW:
        line.append(f"{item.status:<10}", style=f"not bold {style}")
    jobs = _jobs(item.jobs)
    column = _JOBS + 1 if width >= WIDE else 8 if width >= NARROW else 3
    jobs.pad_right(max(0, column - jobs.cell_len))
    line.append_text(jobs)
    over = item.finished_at is not None
    seconds = item.seconds + (0 if over else max(0.0, age))
    line.append(f" {_short(seconds):>4} ", style="not bold dim")
    title = terminal.single(item.title)
    style = "bold" if selected else "not bold dim" if over else "not bold"
    if width < WIDE:
        line.append(title, style=style)
        return line
    room = width - line.cell_len
    line.append(_fitted(title, room // 2), style=style)
    why = item.text if over else item.waiting
    line.append(f" {terminal.single(why or '')}", style="not bold dim")
    return line


def _more(item: ItemView, width: int) -> list[Text]:
    """What there is to say of the selected item beyond its line."""
    said = [item.text if item.finished_at is not None else item.waiting]
    if item.proof is not None and item.finished_at is None and item.proof.ahead:
        ahead = " ".join(f"+#{number}" for number in item.proof.ahead[-3:])
        said.append(f"proved on {item.branch} {ahead}")
    if item.estimate is not None and item.estimate.lands is not None:
        said.append(f"lands in about {roughly(item.estimate.lands)}")
    said.append(name_of(item.author))
    return _note(" · ".join(each for each in said if each), width)


def _note(text: str | None, width: int) -> list[Text]:
    """A text below an item's line, in at most two lines."""
    indent = 4 if width < NARROW else 9
    lines = textwrap.wrap(terminal.single(text or ""), max(10, width - indent))
    return [Text(f"{' ' * indent}{line}", style="dim") for line in lines[:2]]


def _jobs(jobs: Sequence[JobView]) -> Text:
    """A mark for each job when they are few, else how many are done."""
    if len(jobs) > _JOBS:
        done = sum(job.verdict is not None for job in jobs)
        bad = sum(job.icon in ("failure", "timeout") for job in jobs)
        text = Text(f"{done}/{len(jobs)}", style="not bold")
        if bad:
            text.append(f" ✗{bad}", style="not bold red")
        return text
    text = Text("")
    for job in jobs:
        symbol, style = _mark(job)
        text.append(symbol, style=f"not bold {style}")
    return text


def _mark(job: JobView) -> tuple[str, str]:
    """A symbol and its style; one of its own for a job that failed and runs again."""
    if job.failures and job.verdict is None:
        return "↻", "yellow"
    return output.STYLES.get(job.icon, ("·", "dim"))


# One item.


def _opened(snapshot: Snapshot, look: Look, item: ItemView, room: int, age: float) -> list[Text]:
    """An item with its jobs, and the end of the log of one of them."""
    head = Text(f"#{item.change} " if item.change is not None else "", style="bold")
    head.append(terminal.single(item.title))
    symbol, style = output.STYLES.get(item.status, ("·", "dim"))
    state = Text(f"{symbol} {item.status} in {item.pipeline}", style=style)
    why = item.text if item.finished_at is not None else item.waiting
    state.append(f"  {terminal.single(why or '')}", style="dim")
    chosen = seen.job_of(item, look)
    jobs = [_job(job, age, selected=job == chosen) for job in item.jobs]
    most = max(1, room // 3)
    index = next((n for n, job in enumerate(item.jobs) if job == chosen), 0)
    first = max(0, min(index - most // 2, len(jobs) - most))
    lines = [head, state, *jobs[first : first + most], Text("")]
    if chosen is None:
        return [*lines, Text("it has no jobs yet", style="dim")]
    return lines + _tail(snapshot, chosen, room - len(lines))


def _tail(snapshot: Snapshot, job: JobView, room: int) -> list[Text]:
    if job.build is None:
        return [Text(terminal.single(job.waiting or "not begun"), style="dim")]
    log = snapshot.log
    if log is None or log.build != job.build:
        return [Text("…", style="dim")]
    if not log.lines:
        return [Text("it has printed nothing", style="dim")]
    return [Text(terminal.plain(line).expandtabs()) for line in log.lines[-max(1, room) :]]


def _job(job: JobView, age: float, *, selected: bool) -> Text:
    symbol, style = _mark(job)
    line = Text("▸ " if selected else "  ", style="bold")
    line.append(f"{symbol} ", style=f"not bold {style}")
    line.append(terminal.single(job.name), style="bold" if selected else "not bold")
    if job.seconds is not None:
        over = job.finished_at is not None
        seconds = job.seconds + (0 if over else max(0.0, age))
        line.append(f"  {_short(seconds)}", style="not bold dim")
    why = job.reason or job.waiting or (str(job.icon) if job.verdict is None else None)
    if why:
        line.append(f"  {terminal.single(why)}", style="not bold dim")
    return line


def _fitted(text: str, width: int) -> str:
    """The text in just so many columns."""
    fitted = Text(terminal.single(text))
    fitted.truncate(max(0, width), overflow="ellipsis", pad=True)
    return fitted.plain


def _short(seconds: float) -> str:
    """A time in four columns: `12s`, `3m`, `2h`, `9d`."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
