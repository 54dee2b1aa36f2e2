"""Images: what machines are made of."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import fastapi
import pydantic
from starlette.responses import FileResponse

from cupel.api.caller import IMAGE_FETCHER, READER, Administrator, Cupel
from cupel.control import views
from cupel.image.keeper import KEEP

router = fastapi.APIRouter(prefix="/api/images", tags=["images"])


class PruneRequest(pydantic.BaseModel):
    """What to keep of the images that nothing uses: the newest `keep`."""

    model_config = pydantic.ConfigDict(extra="forbid")

    keep: Annotated[int, pydantic.Field(ge=0, le=1000)] = KEEP


@router.get("", operation_id="image_list", summary="All images", dependencies=[READER])
async def list_all(cupel: Cupel) -> list[views.ImageView]:
    return views.image_list(cupel.images)


@router.get(
    "/difference",
    operation_id="image_difference",
    summary="What differs between two images",
    dependencies=[READER],
)
def difference(
    cupel: Cupel,
    old: Annotated[str, fastapi.Query(description="A name, a digest or its beginning.")],
    new: Annotated[str, fastapi.Query(description="Likewise.")],
) -> views.ImageDifferenceView:
    return views.difference_view(cupel.images.difference(old, new))


@router.post("/prune", operation_id="image_prune", summary="Remove images that nothing uses")
def prune(cupel: Cupel, admin: Administrator, request: PruneRequest) -> list[str]:
    return [record.digest for record in cupel.images.prune(keep=request.keep)]


@router.get("/{name}", operation_id="image", summary="One image", dependencies=[READER])
async def show(cupel: Cupel, name: str) -> views.ImageView:
    return views.image_view(cupel.images, name)


@router.get(
    "/{name}/history",
    operation_id="image_history",
    summary="Who uses an image, and what it was before",
    dependencies=[READER],
)
async def history(cupel: Cupel, name: str) -> views.ImagePastView:
    async with cupel.store.read() as tx:
        return await views.image_past(tx, cupel.images, cupel.config.labels, name)


@router.get(
    "/{name}/log",
    operation_id="image_log",
    summary="The log of an image's build",
    dependencies=[READER],
    response_class=FileResponse,
    responses={200: {"content": {"text/plain": {}}, "description": "Under way, or the last one"}},
)
async def log(cupel: Cupel, name: str) -> FileResponse:
    return FileResponse(cupel.images.log(name), media_type="text/plain; charset=utf-8")


@router.get(
    "/{digest}/file",
    operation_id="image_file",
    summary="The one file of an image",
    description="A read-only file system (erofs), for hosts that make machines of it. Ranges of it "
    "can be asked for.",
    dependencies=[IMAGE_FETCHER],
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file"}},
)
async def file(cupel: Cupel, digest: str) -> FileResponse:
    return FileResponse(cupel.images.file(digest), media_type="application/octet-stream")


@router.post(
    "/{name}/build",
    operation_id="image_build",
    summary="Build an image anew",
    status_code=HTTPStatus.ACCEPTED,
)
async def build(cupel: Cupel, admin: Administrator, name: str) -> views.ImageView:
    cupel.images.request(name)
    return views.image_view(cupel.images, name)


@router.post(
    "/{name}/rollback",
    operation_id="image_rollback",
    summary="Use the image before the current one again",
)
async def roll_back(cupel: Cupel, admin: Administrator, name: str) -> views.ImageView:
    cupel.images.roll_back(name)
    return views.image_view(cupel.images, name)
