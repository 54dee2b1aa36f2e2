"""The queue live in the terminal; on anything else, a line whenever something changes."""

from __future__ import annotations

from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cupel.client import Client
from cupel.control.views import ItemView, JobView, QueueView
from cupel.core.model import Pipeline

_LOOKS = {
    "success": ("✓", "green"),
    "failure": ("✗", "red"),
    "timeout": ("✗", "red"),
    "reused": ("✓", "green"),
    "infra": ("!", "magenta"),
    "cancelled": ("–", "dim"),
    "skipped": ("–", "dim"),
    "running": ("▶", "cyan"),
    "starting": ("▶", "cyan"),
    "queued": ("·", "dim"),
    "waiting": ("·", "dim"),
}


class Watch:
    """Shows queues as they come; a context manager around the time in which it does."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._said: dict[int, str] = {}
        self._progress = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, client: Client, queue: QueueView) -> None:
        progress = _image_progress(client, queue)
        if self._live is not None:
            self._live.update(self._table(queue, progress))
        else:
            self._say_changes(queue, progress)

    def _table(self, queue: QueueView, progress: str) -> RenderableType:
        table = Table(box=None, pad_edge=False, title=f"gate of {queue.name}", expand=True)
        for heading in ("change", "title", "state", "proved on", "jobs"):
            table.add_column(heading, overflow="fold")
        for item in _of_gate(queue):
            jobs = Text("  ").join(_job(job) for job in item.jobs)
            table.add_row(f"#{item.change}", item.title, item.status, _proved_on(item), jobs)
        return Group(table, Text(progress, style="dim")) if progress else table

    def _say_changes(self, queue: QueueView, progress: str) -> None:
        if progress and progress != self._progress:
            self._progress = progress
            self._console.print(progress, style="dim", markup=False, soft_wrap=True)
        for item in _of_gate(queue):
            jobs = " ".join(f"{job.name}={job.icon}" for job in item.jobs)
            line = f"#{item.change} {item.title}: {item.status} {jobs}".rstrip()
            if self._said.get(item.id) != line:
                self._said[item.id] = line
                self._console.print(line, markup=False, soft_wrap=True)


def _of_gate(queue: QueueView) -> list[ItemView]:
    """What has left the gate, oldest first, then what is in it."""
    done = [item for item in reversed(queue.recent) if item.pipeline is Pipeline.GATE]
    return [*done, *queue.gate]


def _image_progress(client: Client, queue: QueueView) -> str:
    """While the first machine is being made, what its build's log says of that."""
    jobs = [job for item in queue.gate for job in item.jobs]
    if any(job.state in ("running", "finished") for job in jobs):
        return ""
    started = [job.build for job in jobs if job.state == "starting" and job.build is not None]
    lines = [line.text for line in client.log(started[0])] if started else []
    return lines[-1][:150] if lines else ""


def _job(job: JobView) -> Text:
    glyph, style = _LOOKS.get(job.icon, ("?", ""))
    seconds = f" {job.seconds:.0f}s" if job.seconds else ""
    return Text(f"{glyph} {job.name} {job.icon}{seconds}", style=style)


def _proved_on(item: ItemView) -> str:
    if item.proof is None or item.proof.onto is None:
        return ""
    ahead = "".join(f" + #{number}" for number in item.proof.ahead)
    return f"main{ahead}" if ahead else item.proof.onto[:7]
