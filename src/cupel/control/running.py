"""A build while its host works on it: its log, its steps, and what came of its artefacts."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

from cupel.artefact.receive import Receiver
from cupel.core.model import StepResult, Usage, Verdict
from cupel.errors import InfraError
from cupel.host import messages
from cupel.log.append import LogWriter
from cupel.report.results.said import Scanner
from cupel.report.results.store import Spool


@dataclasses.dataclass(slots=True)
class Running:
    """What the server knows of a build while its host works on it.

    `spoilt` is why what the build printed or left is not kept: it cannot count as it ended then.
    """

    build_id: int
    log: LogWriter
    artefacts: Receiver
    results: Spool
    metrics: tuple[Path, ...]
    """For each of its machines, in the order of the parts."""
    machines: tuple[str, ...] = ()
    """Their names, if it has several, its own first."""
    steps: dict[int, StepResult] = dataclasses.field(default_factory=dict)
    said: Scanner = dataclasses.field(default_factory=Scanner)
    """What it says of lines in what it prints."""
    stored: tuple[tuple[str, int, str], ...] = ()
    spoilt: tuple[Verdict, str] | None = None

    def judged(self, verdict: Verdict, reason: str | None) -> tuple[Verdict, str | None]:
        """The verdict that stands: without its log or artefacts a build proves nothing."""
        if self.spoilt is None or verdict is Verdict.CANCELLED:
            return verdict, reason
        # The build's own failure came first; ours says that nobody can tell what happened.
        is_ours = self.spoilt[0] is Verdict.INFRA
        return self.spoilt if is_ours or verdict is Verdict.SUCCESS else (verdict, reason)

    def step_results(self) -> tuple[StepResult, ...]:
        return tuple(self.steps[number] for number in sorted(self.steps))

    def finish_step(self, message: messages.StepFinished) -> None:
        step = self.steps.get(message.step)
        if step is not None:
            self.steps[message.step] = replace(
                step,
                finished_at=message.at,
                exit_status=message.exit_status,
                usage=Usage(cpu_seconds=message.cpu_seconds, memory_peak=message.memory_peak),
            )

    def print(self, step: int, stream: str, at: float, data: bytes, part: int = 0) -> None:
        """Add to the log; one that lacks anything is as good as none.

        What comes after the build's end, such as of a machine that is being deleted, is dropped.
        """
        if self.log.closed:
            return
        self.said.feed(step, stream, part, data)
        if self.spoilt is None:
            try:
                self.log.append(step, stream, at, data, part)
            except InfraError as error:
                self.spoilt = Verdict.INFRA, error.message

    def close(self) -> None:
        try:
            self.log.close()
        except InfraError as error:
            self.spoilt = Verdict.INFRA, error.message
