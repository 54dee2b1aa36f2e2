"""Whose word a pass is that was not seen here."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A pass of a run on a computer of their own, called `host`, that the user `by` offered."""

    by: str
    host: str
