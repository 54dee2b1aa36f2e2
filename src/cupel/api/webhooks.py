"""Who is told what happens, and how that went: for administrators, as addresses may be secret."""

from __future__ import annotations

from http import HTTPStatus

import fastapi

from cupel.api.caller import Administrator, Before, Cupel, Limit
from cupel.control import views

router = fastapi.APIRouter(prefix="/api", tags=["webhooks"])

sent = fastapi.APIRouter()
"""What Cupel itself sends, for the OpenAPI document."""


@sent.post("notice", operation_id="notice", summary="An event, sent to a webhook")
def notice(body: views.NoticeView) -> None:
    """Signed by the rules of Standard Webhooks: `webhook-id`, `webhook-timestamp` and
    `webhook-signature`. The event's name is in `cupel-event` too. Any good status means that it
    has arrived.
    """


@router.get("/webhooks", operation_id="webhook_list", summary="Webhooks and mail")
async def list_all(cupel: Cupel, admin: Administrator) -> list[views.ReceiverView]:
    return await cupel.notices.receivers()


@router.get(
    "/webhooks/{name}/deliveries",
    operation_id="webhook_deliveries",
    summary="What one was and is to be told, newest first",
)
async def deliveries(
    cupel: Cupel, admin: Administrator, name: str, limit: Limit = 50, before: Before = None
) -> views.Page[views.DeliveryRef]:
    receiver = cupel.notices.known(name)
    async with cupel.store.read() as tx:
        return await views.delivery_list(tx, receiver, limit=limit, before=before)


@router.get("/deliveries/{id}", operation_id="delivery", summary="One delivery, with its attempts")
async def show(cupel: Cupel, admin: Administrator, id: int) -> views.DeliveryView:
    async with cupel.store.read() as tx:
        return await views.delivery_view(tx, id)


@router.post(
    "/deliveries/{id}/redeliver",
    operation_id="delivery_redeliver",
    summary="Send it once more",
    status_code=HTTPStatus.ACCEPTED,
)
async def redeliver(cupel: Cupel, admin: Administrator, id: int) -> views.DeliveryView:
    await cupel.notices.redeliver(id)
    async with cupel.store.read() as tx:
        return await views.delivery_view(tx, id)
