"""All that was tried for an item: a row for each job, a column for each state it was tried on.

Jobs that have failed come first, the others in the order of the configuration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.control.views import AttemptView, BuildsetView, HistoryView
from cupel.core.model import Verdict

SHOWN = 4
"""States of an item that are shown unless all are asked for: the newest."""


_BAD = frozenset({Verdict.FAILURE, Verdict.TIMEOUT, Verdict.INFRA})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job; `cells` are its attempts on each state, in the order of the columns."""

    job: str
    voting: bool
    needs: Sequence[str]
    waiting: str | None
    cells: Sequence[Sequence[AttemptView]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """`columns` are the states, the newest first; `hidden` is how many older ones there are."""

    columns: Sequence[BuildsetView]
    rows: Sequence[Row]
    hidden: int


def matrix(history: HistoryView, *, everything: bool) -> Matrix:
    states = sorted(history.buildsets, key=lambda state: (not state.current, -state.id))
    shown = states if everything else states[:SHOWN]
    frozen = {job.name: job for job in history.item.jobs}
    tried = {build.job: build.voting for state in shown for build in state.builds}
    rows = [
        Row(
            job=name,
            voting=frozen[name].voting if name in frozen else tried[name],
            needs=frozen[name].needs if name in frozen else (),
            waiting=frozen[name].waiting if name in frozen else None,
            cells=[[build for build in state.builds if build.job == name] for state in shown],
        )
        for name in dict.fromkeys((*frozen, *tried))
    ]
    return Matrix(
        columns=shown,
        rows=sorted(rows, key=lambda row: not _has_failed(row)),
        hidden=len(states) - len(shown),
    )


def _has_failed(row: Row) -> bool:
    """Whether its newest attempt on the newest state has not passed."""
    newest = row.cells[0][-1:] if row.cells else ()
    return any(build.verdict in _BAD for build in newest)
