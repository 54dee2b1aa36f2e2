"""Evidence: what passes have proved, by key."""

from __future__ import annotations

from typing import Annotated

import fastapi
import pydantic

from cupel.api.caller import READER, Cupel, Writer
from cupel.control import offers, views

router = fastapi.APIRouter(prefix="/api/evidence", tags=["builds"])

Key = Annotated[
    str, fastapi.Path(pattern="^[0-9a-f]{64}$", description="The digest of what a job depends on.")
]
_Digest = Annotated[str, pydantic.Field(min_length=1, max_length=200)]


class OfferRequest(pydantic.BaseModel):
    """A pass of `job` on `commit`, on a computer called `host`: `images` are the digests of those
    that its machines were made of. Without them it is only asked whether it would be taken.

    `key` is the one that was worked out there: a pass is refused where it is another one here.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    project: Annotated[str, pydantic.Field(min_length=1, max_length=100)]
    commit: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{40}$")]
    job: Annotated[str, pydantic.Field(min_length=1, max_length=500)]
    images: Annotated[tuple[_Digest, ...], pydantic.Field(min_length=1, max_length=100)] | None = (
        None
    )
    key: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")] | None = None
    host: Annotated[str, pydantic.Field(pattern="^[A-Za-z0-9._-]{1,253}$")]
    seconds: Annotated[float, pydantic.Field(ge=0, le=10_000_000, allow_inf_nan=False)] = 0.0


@router.get(
    "/{key}",
    operation_id="evidence",
    summary="The pass that is good for a key",
    dependencies=[READER],
)
async def show(cupel: Cupel, key: Key) -> views.EvidenceView:
    async with cupel.store.read() as tx:
        return await views.evidence_view(tx, key)


@router.post("", operation_id="evidence_offer", summary="Offer a pass of a run elsewhere")
async def offer(cupel: Cupel, writer: Writer, request: OfferRequest) -> views.OfferedView:
    """Taken only where the server's configuration allows it."""
    wish = offers.Wish(**request.model_dump())
    if wish.images is None:
        await cupel.offers.check(wish, writer)
        return views.OfferedView(build=None)
    return views.OfferedView(build=await cupel.offers.take(wish, writer))
