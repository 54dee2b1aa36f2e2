"""What a page is about, and so which events concern it."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlencode

from cupel.core.model import Event


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A project, a build, or everything. Events of the whole server concern every page."""

    project: int | None = None
    build: int | None = None

    def concerns(self, event: Event) -> bool:
        if self.build is not None and event.build_id is not None:
            return event.build_id == self.build
        if self.project is not None and event.project_id is not None:
            return event.project_id == self.project
        return True

    def address(self, seen: str) -> str:
        """Where a page listens that shows what there was at the moment `seen`."""
        about = {"project": self.project, "build": self.build}
        query = {name: value for name, value in about.items() if value is not None}
        return "/events/stream?" + urlencode({**query, "seen": seen})
