"""Passes by their keys."""

from __future__ import annotations

from cupel.control.views.nouns.evidence import EvidenceView
from cupel.core.model import Build, Evidence
from cupel.errors import NotFound
from cupel.store.interface import Transaction


async def evidence_view(tx: Transaction, key: str) -> EvidenceView:
    """The pass of a key that has not been withdrawn. Raises `NotFound`."""
    found = [each for each in await tx.select(Evidence, {"key": key}) if each.withdrawn_at is None]
    if not found:
        raise NotFound("no pass has this key")
    builds = await tx.select(Build, {"id": found[0].build_id})
    return EvidenceView(
        key=key,
        build=found[0].build_id,
        job=found[0].job,
        outputs=builds[0].outputs if builds else None,
        created_at=found[0].created_at,
    )
