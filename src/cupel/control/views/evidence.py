"""Passes by their keys."""

from __future__ import annotations

from cupel.control.views.nouns.evidence import EvidenceView, OfferView
from cupel.core.model import Build, Evidence
from cupel.errors import NotFound
from cupel.store.interface import Transaction


async def evidence_view(tx: Transaction, key: str) -> EvidenceView:
    """The pass of a key that has not been withdrawn. Raises `NotFound`."""
    found = [each for each in await tx.select(Evidence, {"key": key}) if each.withdrawn_at is None]
    if not found:
        raise NotFound("no pass has this key")
    good = min(found, key=lambda each: (each.offered, each.id))
    build = await tx.get(Build, good.build_id)
    return EvidenceView(
        key=key,
        build=good.build_id,
        job=good.job,
        outputs=None if build is None else build.outputs,
        created_at=good.created_at,
        offer=None if build is None else offer_view(build),
    )


def offer_view(build: Build) -> OfferView | None:
    """Whose word a build's pass is, if it was not run here."""
    return None if build.offer is None else OfferView(by=build.offer.by, host=build.offer.host)
