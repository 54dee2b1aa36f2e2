"""What passes have proved."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class OfferView(View):
    """Whose word a pass is that was not seen here: that of the user `by`, of a computer `host`."""

    by: str
    host: str


class EvidenceView(View):
    """A pass that is good for every build with this key: that of `build`, a build of `job`.

    `outputs` is the digest of what it left; `offer` is whose word it is, if it was not run here.
    """

    key: str
    build: int
    job: str
    outputs: str | None
    created_at: float
    offer: OfferView | None = None


class OfferedView(View):
    """What became of a pass that was offered: its build; None where it would be taken."""

    build: int | None
