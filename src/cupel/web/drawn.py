"""Rows as they were drawn, for the next time: of hundreds few change between two looks."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from markupsafe import Markup

from cupel.control.views import ItemView
from cupel.web import text
from cupel.web.row import Row

KEEP = 10.0
"""Seconds: times on a row that is kept are so old at most. In the browser they go on."""

MOST = 4096
"""Rows that are kept; past that, it begins anew."""

Draw = Callable[[str, Row, bool, bool], Markup]


class Drawn:
    """Keeps what `draw` made of a row while nothing of it has changed."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, tuple[object, ...], Markup]] = {}

    def __call__(
        self, draw: Draw, queue: str, row: Row, *, shared: bool, first: bool, may: str, now: float
    ) -> Markup:
        """`may` is what the reader may do with it, so that nobody sees another one's buttons."""
        if any(job.started_at and not job.finished_at for job in row.item.jobs):
            return draw(queue, row, shared, first)
        key = (row.item.id, queue, shared, first, may)
        about = _about(row)
        known = self._kept.get(key)
        if known is not None and now - known[0] < KEEP and known[1] == about:
            return known[2]
        made = draw(queue, row, shared, first)
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = (now, about, made)
        return made


def _about(row: Row) -> tuple[object, ...]:
    """All of a row that is shown, but for what goes on by itself."""
    item = row.item
    lands = None if item.estimate is None else item.estimate.lands
    return (
        *(getattr(item, name) for name in _SHOWN),
        None if lands is None else text.roughly(lands),
        None if item.estimate is None else (item.estimate.unknown, item.estimate.proved_by),
        row.picture,
        row.hidden,
    )


_SHOWN = tuple(
    name for name in ItemView.model_fields if name not in {"seconds", "estimate", "position"}
)
