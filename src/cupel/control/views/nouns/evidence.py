"""What passes have proved."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class EvidenceView(View):
    """A pass that is good for every build with this key: that of `build`, a build of `job`.

    `outputs` is the digest of what it left.
    """

    key: str
    build: int
    job: str
    outputs: str | None
    created_at: float
