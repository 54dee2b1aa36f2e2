import asyncio
import json

from cupel.core.model import Event
from cupel.core.notice import Attempt, Delivery, DeliveryState
from unit.cli import calls
from unit.control.test_notices import CHAT, notices


def with_a_delivery(cupel: calls.Command) -> int:
    """A webhook that refused what it was sent; the delivery."""
    world = cupel.world
    world.notices = notices(world)

    async def prepare() -> None:
        await world.notices.prepare()
        await world.put(
            Event(id=900, at=1.0, kind="change.landed", project_id=1, change_id=20),
            Delivery(
                id=5, key="msg_5", receiver="chat", event="change.landed", event_id=900,
                change_id=20, address="", body='{"title": "\\u001b[31mred"}',
                state=DeliveryState.FAILED, tried=1, created_at=1.0, asked_at=1.0, due_at=1.0,
                finished_at=2.0,
                attempts=(
                    Attempt(at=1.0, seconds=0.25, status=404, error="status 404", refused=True,
                            response="no such\x1b[2J room"),
                ),
            ),
        )  # fmt: skip

    asyncio.run(prepare())
    return 5


def test_webhooks_are_listed(cupel: calls.Command) -> None:
    with_a_delivery(cupel)
    said = cupel("webhook", "list")
    assert said.code == 0, said.err
    assert "chat" in said.out
    assert CHAT.url in said.out
    assert json.loads(cupel("webhook", "list", "--json").out)[0]["events"]


def test_without_any_it_says_where_they_come_from(cupel: calls.Command) -> None:
    assert "configuration" in cupel("webhook", "list").out


def test_deliveries_are_listed_shown_and_sent_again(cupel: calls.Command) -> None:
    number = with_a_delivery(cupel)
    listed = cupel("webhook", "deliveries", "chat")
    assert "✗ failure: status 404" in listed.out
    shown = cupel("webhook", "show", str(number))
    assert "status 404, 0.25 s" in shown.out
    assert "no such" in shown.out
    assert "\x1b" not in shown.out
    again = cupel("webhook", "redeliver", str(number))
    assert again.out == "delivery 5 to chat is sent again\n"
    assert "waiting" in cupel("webhook", "deliveries", "chat").out
    twice = cupel("webhook", "redeliver", str(number))
    assert (twice.code, "still to be sent" in twice.err) == (2, True)


def test_what_is_not_there_is_told(cupel: calls.Command) -> None:
    missing = cupel("webhook", "deliveries", "nothing")
    assert (missing.code, "no webhook is called nothing" in missing.err) == (2, True)
    assert cupel("webhook", "show", "77").code == 2
