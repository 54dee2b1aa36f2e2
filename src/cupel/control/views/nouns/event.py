"""What happened."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class EventView(View):
    id: int
    at: float
    kind: str
    project: str | None
    change: int | None
    item: int | None
    build: int | None
    machine: int | None
    user: str | None
    text: str
