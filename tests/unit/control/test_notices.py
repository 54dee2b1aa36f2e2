"""Recording and sending: nothing twice, nothing lost, everything in its order."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cupel.config.notice import MailConfig, WebhookConfig
from cupel.control import notices as control
from cupel.control.notices import Notices
from cupel.core import notice
from cupel.core.model import BuildsetState, Event, Verdict
from cupel.core.notice import Attempt, Delivery, DeliveryState, Receiver, Wish
from cupel.core.results import FailedTest, Outcome, Result
from cupel.errors import Conflict, InfraError, NotFound
from cupel.report import mail, webhook
from unit.control_views import world as worlds
from unit.control_views.world import World

T = TypeVar("T")

ALL = tuple(notice.EVENTS)
CHAT = WebhookConfig(url="http://chat.test/", secret_file="secret", wish=Wish(events=ALL))
MAIL = MailConfig(
    server="smtp.test", port=25, security="none", sender="cupel@example.org", user=None,
    password_file=None, domains=(), gather=30.0, wish=Wish(events=("item.rejected",)),
)  # fmt: skip

GOOD = Attempt(at=0.0, seconds=0.1, status=200)
BAD = Attempt(at=0.0, seconds=0.1, error="no answer")


class Outside:
    """What receivers got; `answers` are given in turn, then good ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.got: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.mails: list[str] = []
        self.answers: list[Attempt] = []

        async def post(url: str, body: bytes, headers: dict[str, str], clock: object) -> Attempt:
            self.got.append((url, json.loads(body), dict(headers)))
            return self._answer()

        def send(message: object, post: object, clock: object) -> Attempt:
            self.mails.append(str(message))
            return self._answer()

        monkeypatch.setattr(webhook, "post", post)
        monkeypatch.setattr(mail, "send", send)

    def _answer(self) -> Attempt:
        return self.answers.pop(0) if self.answers else GOOD

    @property
    def events(self) -> list[str]:
        return [body["event"] for _, body, _ in self.got]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    return Outside(monkeypatch)


def notices(world: World, **given: Any) -> Notices:
    (world.state / "secret").write_text("a long enough secret")
    numbers = itertools.count(1)
    settings: dict[str, Any] = {"webhooks": {"chat": CHAT}, "mail": None}
    return Notices(
        store=world.store,
        feed=world.feed,
        clock=world.clock,
        logs=world.logs,
        state=world.state,
        url="http://cupel.test",
        random=lambda: str(next(numbers)),
        **(settings | given),
    )


def run(directory: Path, ask: Callable[[World], Awaitable[T]]) -> T:
    async def start() -> T:
        return await ask(await worlds.make(directory))

    return asyncio.run(start())


_ids = itertools.count(1000)


async def happen(world: World, kind: str, **about: Any) -> int:
    number = next(_ids)
    await world.put(Event(id=number, at=world.time, kind=kind, project_id=1, **about))
    return number


async def deliveries(world: World, name: str = "chat") -> list[Delivery]:
    async with world.store.read() as tx:
        return await tx.select(Delivery, {"receiver": name})


def test_a_new_receiver_is_told_from_now_on(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await told.recorder.record()
        assert await deliveries(world) == []
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        (row,) = await deliveries(world)
        assert (row.event, row.state, row.key) == (
            "change.landed", DeliveryState.PENDING, "msg_1",
        )  # fmt: skip

    run(tmp_path, ask)


def test_every_event_is_recorded_once_whatever_crashes(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        await notices(world).prepare()
        for number in (20, 21, 22):
            await happen(world, "change.landed", change_id=number)
            await happen(world, "machine.ready")
            again = notices(world)  # as after a crash: nothing is kept but the store
            await again.prepare()
            await again.recorder.record()
            await again.recorder.record()
        assert [row.change_id for row in await deliveries(world)] == [20, 21, 22]

    run(tmp_path, ask)


def test_a_record_that_fails_on_the_way_is_made_again(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        with monkeypatch.context() as patch:

            async def broken(*args: object) -> None:
                raise OSError("the disk is full")

            patch.setattr(told.recorder, "_keep", broken)
            with pytest.raises(OSError, match="disk"):
                await told.recorder.record()
        await told.recorder.record()
        assert len(await deliveries(world)) == 1

    run(tmp_path, ask)


def test_the_order_of_events_is_the_order_of_deliveries(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        kinds = ["change.pushed", "change.approved", "change.landed"]
        for kind in kinds:
            await happen(world, kind, change_id=21)
        await told.recorder.record()
        outside.answers = [BAD]
        due = await told.sender.send_next("chat")
        assert due == world.time + notice.INTERVALS[0]
        assert await told.sender.send_next("chat") == due
        assert outside.events == ["change.pushed"], "those behind it wait"
        world.time = due
        while await told.sender.send_next("chat") is not None:
            pass
        assert outside.events == ["change.pushed", *kinds]
        assert [headers["webhook-id"] for _, _, headers in outside.got] == [
            "msg_1", "msg_1", "msg_2", "msg_3",
        ]  # fmt: skip

    run(tmp_path, ask)


def test_when_it_is_tried_again_survives_a_restart(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        outside.answers = [BAD, BAD]
        await told.sender.send_next("chat")
        world.time += notice.INTERVALS[0]
        due = await told.sender.send_next("chat")
        again = notices(world)
        await again.prepare()
        assert await again.sender.send_next("chat") == due == world.time + notice.INTERVALS[1]
        (row,) = await deliveries(world)
        assert (row.tried, [each.error for each in row.attempts]) == (2, ["no answer"] * 2)
        (shown,) = await again.receivers()
        assert (shown.pending, shown.failures, shown.retry_at) == (1, 2, due)

    run(tmp_path, ask)


def test_without_its_secret_nothing_is_sent_until_it_is_there(
    tmp_path: Path, outside: Outside
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        (world.state / "secret").unlink()
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        await told.sender.send_next("chat")
        (row,) = await deliveries(world)
        assert "secret cannot be read" in (row.attempts[0].error or "")
        assert outside.got == []
        (world.state / "secret").write_text("another long secret")
        world.time += notice.INTERVALS[0]
        await told.sender.send_next("chat")
        assert outside.events == ["change.landed"]

    run(tmp_path, ask)


def test_what_was_refused_is_sent_again_by_hand_with_the_same_id(
    tmp_path: Path, outside: Outside
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        (row,) = await deliveries(world)
        with pytest.raises(Conflict, match="still to be sent"):
            await told.redeliver(row.id)
        outside.answers = [replace(BAD, status=404, refused=True)]
        await told.sender.send_next("chat")
        assert (await deliveries(world))[0].state is DeliveryState.FAILED
        await told.redeliver(row.id)
        await told.sender.send_next("chat")
        assert (await deliveries(world))[0].state is DeliveryState.DELIVERED
        assert {headers["webhook-id"] for _, _, headers in outside.got} == {"msg_1"}
        with pytest.raises(NotFound):
            await told.redeliver(999)

    run(tmp_path, ask)


def test_by_hand_a_receiver_that_was_mended_is_told_at_once(
    tmp_path: Path, outside: Outside
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        for number in (20, 21):
            await happen(world, "change.landed", change_id=number)
        await told.recorder.record()
        outside.answers = [BAD]
        await told.sender.send_next("chat")
        (first, _) = await deliveries(world)
        await told.redeliver(first.id)
        while await told.sender.send_next("chat") is not None:
            pass
        assert [row.state for row in await deliveries(world)] == [DeliveryState.DELIVERED] * 2

    run(tmp_path, ask)


def test_what_waits_for_a_receiver_that_is_no_more_is_given_up(
    tmp_path: Path, outside: Outside
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        await notices(world, webhooks={}).prepare()
        assert [row.state for row in await deliveries(world)] == [DeliveryState.FAILED]
        async with world.store.read() as tx:
            assert await tx.select(Receiver) == []

    run(tmp_path, ask)


def test_old_deliveries_are_forgotten(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        await happen(world, "change.landed", change_id=20)
        await told.recorder.record()
        await told.sender.send_next("chat")
        await happen(world, "change.landed", change_id=21)
        await told.recorder.record()
        world.time += 31 * 86_400.0
        await told.forget()
        assert [row.change_id for row in await deliveries(world)] == [21]

    run(tmp_path, ask)


def test_of_too_many_deliveries_the_oldest_are_forgotten(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_KEPT", 1)

    async def ask(world: World) -> None:
        told = notices(world)
        await told.prepare()
        for number in (20, 21, 22):
            world.time += 1
            await happen(world, "change.landed", change_id=number)
            await told.recorder.record()
            await told.sender.send_next("chat")
        await told.forget()
        assert [row.change_id for row in await deliveries(world)] == [22]

    run(tmp_path, ask)


def test_a_receiver_that_hangs_delays_nobody_else(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(CHAT, url="http://other.test/")

    async def ask(world: World) -> None:
        got = asyncio.Event()

        async def post(url: str, *rest: object) -> Attempt:
            if url == CHAT.url:
                await asyncio.Event().wait()
            got.set()
            return GOOD

        monkeypatch.setattr(webhook, "post", post)
        told = notices(world, webhooks={"chat": CHAT, "other": other})
        async with asyncio.timeout(10):
            running = asyncio.create_task(told.run())
            await asyncio.sleep(0.05)
            number = await happen(world, "change.landed", change_id=20)
            world.feed.publish([Event(id=number, at=1.0, kind="change.landed")])
            await got.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(tmp_path, ask)


def test_what_goes_wrong_here_is_tried_again_and_ends_nothing(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        tried = 0

        async def broken() -> None:
            nonlocal tried
            tried += 1
            raise ZeroDivisionError

        monkeypatch.setattr(told.recorder, "record", broken)
        running = asyncio.create_task(told.run())
        await asyncio.sleep(0.1)
        assert (tried, running.done()) == (1, False)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(tmp_path, ask)


def test_a_store_that_is_away_at_the_start_is_waited_for(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(world: World) -> None:
        told = notices(world)
        good, tried, there = told._dismiss, 0, asyncio.Event()

        async def away(tx: object, name: str) -> None:
            nonlocal tried
            tried += 1
            if tried == 1:
                raise InfraError("the database is away")
            await good(tx, name)  # type: ignore[arg-type]
            there.set()

        await world.put(Receiver(id=77, name="gone", cursor=1))
        monkeypatch.setattr(told, "_dismiss", away)
        running = asyncio.create_task(told.run())
        async with asyncio.timeout(10):
            await there.wait()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(tmp_path, ask)


def report_of(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["context"]: (each["state"], each["description"]) for each in body["reports"]}


@pytest.fixture
def sent(tmp_path: Path, outside: Outside) -> Callable[..., dict[str, Any]]:
    """What is sent of an event, after these rows are put."""

    def send(*rows: Any, kind: str, **about: Any) -> dict[str, Any]:
        async def ask(world: World) -> dict[str, Any]:
            told = notices(world)
            await told.prepare()
            await world.put(*rows)
            await happen(world, kind, **about)
            await told.recorder.record()
            await told.sender.send_next("chat")
            return outside.got[-1][1]

        return run(tmp_path, ask)

    return send


def test_jobs_that_were_never_begun_are_reported_with_the_reason(
    sent: Callable[..., dict[str, Any]],
) -> None:
    body = sent(
        worlds.buildset(119, 19, worlds.HEAD, jobs=(worlds.LINT, worlds.PUBLISH, worlds.TESTS)),
        kind="item.rejected",
        item_id=19,
        change_id=19,
    )
    assert report_of(body) == {
        "cupel/gate": ("failure", "lint failure"),
        "cupel/gate/lint": ("failure", "failure"),
        "cupel/gate/publish": ("skipped", "not run: needs lint"),
        "cupel/gate/tests (python=3.12)": ("skipped", "not run: lint failure"),
    }
    assert (body["version"], body["project"], body["branch"]) == (1, "demo", "main")
    assert body["change"]["id"] == 19


def test_an_item_without_any_job_is_reported_as_a_whole(
    sent: Callable[..., dict[str, Any]],
) -> None:
    body = sent(
        worlds.buildset(
            119, 19, worlds.HEAD, state=BuildsetState.CONFLICT, commit=None, tree=None, jobs=()
        ),
        kind="item.rejected",
        item_id=19,
        change_id=19,
    )
    assert report_of(body) == {"cupel/gate": ("failure", "lint failure")}


def test_what_runs_and_waits_is_pending(sent: Callable[..., dict[str, Any]]) -> None:
    reports = report_of(sent(kind="item.enqueued", item_id=22, change_id=22))
    assert {state for state, _ in reports.values()} == {"pending"}
    assert set(reports) == {"cupel/gate", "cupel/gate/lint", "cupel/gate/tests (python=3.12)"}


def test_a_build_is_reported_by_itself(sent: Callable[..., dict[str, Any]]) -> None:
    body = sent(kind="build.finished", item_id=21, build_id=212)
    assert report_of(body) == {"cupel/gate/lint": ("success", "success")}
    assert body["url"] == "http://cupel.test/builds/212"
    assert body["change"]["id"] == 21


def test_the_infrastructures_fault_is_an_error_and_no_failure(
    sent: Callable[..., dict[str, Any]],
) -> None:
    lost = worlds.finished(
        worlds.build(191, 119, 19, worlds.LINT), Verdict.INFRA, reason="the host was lost"
    )
    reports = report_of(sent(lost, kind="item.rejected", item_id=19, change_id=19))
    assert reports["cupel/gate/lint"] == ("error", "infra: the host was lost")


def test_the_errors_are_what_the_push_begins_with(
    sent: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    body = sent(
        FailedTest(
            id=1, build_id=191, project_id=1, job="lint", key=None, test="d", at=1.0,
            result=Result(
                suite="tests", name="test_it", outcome=Outcome.FAILED, message="no way",
                file="a.py", line=3,
            ),
        ),
        kind="item.rejected",
        item_id=19,
        change_id=19,
    )  # fmt: skip
    assert body["errors"][:3] == ["tests::test_it", "  no way", "  a.py:3"]
    assert body["errors"][-1].startswith("lint: ")


def test_mail_is_gathered_and_goes_to_the_author(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world, mail=MAIL)
        await told.prepare()
        await happen(world, "item.rejected", item_id=19, change_id=19)
        await happen(world, "item.rejected", item_id=19, change_id=19)
        await told.recorder.record()
        due = await told.sender.send_mail("mail")
        assert due == world.time + 30.0
        assert outside.mails == []
        world.time = due
        assert await told.sender.send_mail("mail") is None
        (only,) = outside.mails
        assert "To: ada@example.com" in only
        assert "#19 was rejected in gate: Change 19" in only
        rows = await deliveries(world, "mail")
        assert [row.state for row in rows] == [DeliveryState.DELIVERED] * 2

    run(tmp_path, ask)


def test_a_mail_server_that_is_away_gets_it_later(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world, webhooks={}, mail=replace(MAIL, gather=0.0))
        await told.prepare()
        await happen(world, "item.rejected", item_id=19, change_id=19)
        await told.recorder.record()
        outside.answers = [BAD]
        due = await told.sender.send_mail("mail")
        assert due == world.time + notice.INTERVALS[0]
        assert await told.sender.send_mail("mail") == due
        assert len(outside.mails) == 1
        world.time = due
        assert await told.sender.send_mail("mail") is None
        assert len(outside.mails) == 2

    run(tmp_path, ask)


@pytest.mark.parametrize(("owner", "count"), [("ada", 1), ("eve", 0)])
def test_of_a_hold_only_who_asked_for_it_gets_mail(
    tmp_path: Path, outside: Outside, owner: str, count: int
) -> None:
    async def ask(world: World) -> None:
        told = notices(world, mail=replace(MAIL, wish=Wish(events=("hold.ending",)), gather=0.0))
        await told.prepare()
        await happen(
            world, "hold.ending", item_id=22, build_id=223, user=owner, text="tests: 10 min left"
        )
        await told.recorder.record()
        await told.sender.send_mail("mail")
        assert len(outside.mails) == count
        assert all("#22 has a held machine that is deleted soon" in each for each in outside.mails)
        assert all("10 min left." in each for each in outside.mails)
        assert all("/builds/223" in each for each in outside.mails)

    run(tmp_path, ask)


def test_nobody_outside_of_the_domains_gets_mail(tmp_path: Path, outside: Outside) -> None:
    async def ask(world: World) -> None:
        told = notices(world, mail=replace(MAIL, domains=("example.org",)))
        await told.prepare()
        await happen(world, "item.rejected", item_id=19, change_id=19)
        await told.recorder.record()
        assert await deliveries(world, "mail") == []

    run(tmp_path, ask)


def test_a_server_that_stops_waits_for_no_mail_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, free = threading.Event(), threading.Event()

    def hang(*about: object) -> Attempt:
        asked.set()
        free.wait(30)
        return GOOD

    async def ask(world: World) -> None:
        monkeypatch.setattr(mail, "send", hang)
        told = notices(world, webhooks={}, mail=replace(MAIL, gather=0.0))
        await told.prepare()
        await happen(world, "item.rejected", item_id=19, change_id=19)
        running = asyncio.create_task(told.run())
        await asyncio.to_thread(asked.wait, 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    began = time.monotonic()
    try:
        run(tmp_path, ask)
        assert asked.is_set()
        assert time.monotonic() - began < 10
    finally:
        free.set()


@pytest.mark.parametrize("kind", notice.EVENTS)
def test_every_event_can_be_told_also_without_what_it_is_about(
    sent: Callable[..., dict[str, Any]], kind: str
) -> None:
    body = sent(kind=kind, text="it happened")
    assert (body["event"], body["text"], body["url"]) == (kind, "it happened", "http://cupel.test/")
