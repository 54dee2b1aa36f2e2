"""Telling others what happened: recorded from the events, then sent, each receiver at its own pace.

Nothing here is on the way of a change to its branch. Deliveries are made from stored events and a
cursor in the same transaction, so each is recorded once, whatever crashes; sending comes after, and
is repeated until it arrives or is given up (`core.notice`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from cupel.config.notice import MailConfig, WebhookConfig
from cupel.control import views
from cupel.control.clock import Clock
from cupel.control.feed import Feed, Subscription
from cupel.control.views.cause import causes, to_tell
from cupel.control.views.notice import notice_view
from cupel.core import notice
from cupel.core.model import Build, Buildset, Event, Project
from cupel.core.notice import Attempt, Delivery, DeliveryState, Letter, Receiver, Wish
from cupel.errors import Conflict, CupelError, NotFound
from cupel.log.stream import LogStore
from cupel.report import cause as words
from cupel.report import letter as letters
from cupel.report import mail, webhook
from cupel.store.interface import Store, Transaction

log = structlog.get_logger(__name__)

BATCH = 200
"""Events that are looked at in one read."""

LAG = 1000
"""So many events pass without news for anybody before the cursors are moved up."""

PULSE = 10.0
"""Seconds after which it is looked again whether there is something to do."""

GATHER = 0.2
"""Seconds for which more events are awaited before they are looked at."""

KEPT = 30 * 86_400.0
"""Seconds for which finished deliveries are kept."""

MOST_KEPT = 50_000
"""So many of them are kept at most."""

_ROUND = 3600.0
"""Seconds between two rounds of forgetting."""

MOST_LINES = 40
"""Lines of what went wrong that are sent."""


class Notices:
    """The receivers of a server's configuration. `random` makes the keys of deliveries."""

    def __init__(
        self,
        *,
        store: Store,
        feed: Feed,
        clock: Clock,
        logs: LogStore,
        state: Path,
        url: str,
        webhooks: Mapping[str, WebhookConfig],
        mail: MailConfig | None,
        random: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._logs = logs
        self._state = state
        self._url = url
        self._webhooks = webhooks
        self._mail = mail
        self._random = random
        self._wishes: dict[str, Wish] = {name: hook.wish for name, hook in webhooks.items()}
        if mail is not None:
            self._wishes[notice.MAIL] = mail.wish
        self._wakes = {name: asyncio.Event() for name in self._wishes}

    async def run(self) -> None:
        """Record and send, until cancelled."""
        await self.prepare()
        if not self._wishes:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recording(), name="recording what others are told")
            group.create_task(self._forgetting(), name="forgetting what others were told")
            for name in self._webhooks:
                group.create_task(self._sending(name, self.send_next), name=f"webhook {name}")
            if self._mail is not None:
                group.create_task(self._sending(notice.MAIL, self.send_mail), name="mail")

    async def prepare(self) -> None:
        """Begin with new receivers from now on; give up what waits for those that are no more."""
        async with self._store.write() as tx:
            known = {row.name for row in await tx.select(Receiver)}
            newest = await tx.select(Event, descending=True, limit=1)
            cursor = newest[0].id if newest else 0
            for name in self._wishes:
                if name not in known:
                    number = await tx.reserve("receiver")
                    await tx.put([Receiver(id=number, name=name, cursor=cursor)])
            for name in known - set(self._wishes):
                await self._dismiss(tx, name)

    async def _dismiss(self, tx: Transaction, name: str) -> None:
        waiting = await _pending(tx, name)
        now = self._clock()
        await tx.put([replace(row, state=DeliveryState.FAILED, finished_at=now) for row in waiting])
        gone = await tx.select(Receiver, {"name": name})
        await tx.delete(Receiver, [row.id for row in gone])

    # Recording.

    async def _recording(self) -> None:
        while True:
            with self._feed.subscribe() as news:
                while await self._guarded(self.record) and await _more(news):
                    news.skip()
            await asyncio.sleep(1.0)

    async def record(self) -> None:
        """Make deliveries of all that has happened since the last time."""
        while await self._record_some():
            pass

    async def _record_some(self) -> bool:
        """Whether there is more."""
        async with self._store.read() as tx:
            rows = await tx.select(Receiver, {"name": set(self._wishes)})
            after = min(row.cursor for row in rows)
            found = await tx.select(Event, after=after, limit=BATCH)
            if not found:
                return False
            made = [each for event in found for each in await self._concerning(tx, event, rows)]
        full = len(found) == BATCH
        if made or full or found[-1].id - after > LAG:
            await self._keep(made, found[-1].id)
        for name in {each.receiver for each in made}:
            self._wakes[name].set()
        return full

    async def _keep(self, made: Sequence[Delivery], cursor: int) -> None:
        async with self._store.write() as tx:
            if made:
                first = await tx.reserve("delivery", len(made))
                await tx.put([replace(row, id=n) for n, row in enumerate(made, first)])
            rows = await tx.select(Receiver, {"name": set(self._wishes)})
            await tx.put([replace(row, cursor=max(row.cursor, cursor)) for row in rows])

    async def _concerning(
        self, tx: Transaction, event: Event, receivers: Sequence[Receiver]
    ) -> list[Delivery]:
        """What has to be told of an event, still without ids."""
        behind = {row.name for row in receivers if row.cursor < event.id}
        project = None if event.project_id is None else await tx.get(Project, event.project_id)
        name = None if project is None else project.name
        asking = [
            receiver
            for receiver, wish in self._wishes.items()
            if receiver in behind and wish.wants(event.kind, name)
        ]
        if not asking:
            return []
        view = await notice_view(tx, event, "", url=self._url, now=self._clock())
        view = view.model_copy(update={"errors": await self._errors(tx, event)})
        made = [self._delivery(receiver, event, view) for receiver in asking]
        return [each for each in made if each is not None]

    def _delivery(self, receiver: str, event: Event, view: views.NoticeView) -> Delivery | None:
        address, wait = "", 0.0
        if receiver == notice.MAIL:
            assert self._mail is not None
            found = mail.address_of(_concerned(view), self._mail.domains)
            if found is None:
                return None
            address, wait = found, self._mail.gather
        key, now = f"msg_{self._random()}", self._clock()
        return Delivery(
            id=0,
            key=key,
            receiver=receiver,
            event=event.kind,
            event_id=event.id,
            change_id=None if view.change is None else view.change.id,
            address=address,
            body=view.model_copy(update={"id": key}).model_dump_json(),
            state=DeliveryState.PENDING,
            attempts=(),
            tried=0,
            created_at=now,
            asked_at=now,
            due_at=now + wait,
        )

    async def _errors(self, tx: Transaction, event: Event) -> list[str]:
        """What to look at first of what was rejected, and whose fault it is."""
        if event.kind != "item.rejected" or event.item_id is None:
            return []
        builds = await tx.select(Build, {"item_id": event.item_id})
        states = await tx.select(Buildset, {"item_id": event.item_id})
        lines: list[str] = []
        for each in await causes(tx, self._logs, to_tell(builds, states)):
            proofs = [proof.text for proof in each.blame.proofs]
            lines += words.error(each.tests, each.failing, each.lines)
            lines.append(words.blame(each.job, each.blame.text, proofs))
        return lines[:MOST_LINES]

    # Sending.

    async def _sending(self, name: str, send: Callable[[str], Awaitable[float | None]]) -> None:
        """Send to one receiver whenever something is due."""
        wake = self._wakes[name]
        while True:
            wake.clear()
            due: list[float | None] = [None]

            async def attempt(due: list[float | None] = due) -> None:
                due[0] = await send(name)

            await self._guarded(attempt)
            wait = PULSE if due[0] is None else min(PULSE, max(0.0, due[0] - self._clock()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wake.wait()

    async def send_next(self, name: str) -> float | None:
        """Send the oldest delivery of a webhook if it is due; when the next one is, if any."""
        async with self._store.read() as tx:
            receiver = await _receiver(tx, name)
            waiting = await _pending(tx, name, limit=1)
        due = notice.next_due(receiver, waiting)
        if due is None or due > self._clock():
            return due
        (delivery,) = waiting
        attempt = await self._post(self._webhooks[name], delivery)
        async with self._store.write() as tx:
            receiver = await self._told(tx, name, [delivery], attempt)
        return receiver.retry_at or self._clock()

    async def _post(self, hook: WebhookConfig, delivery: Delivery) -> Attempt:
        body, now = delivery.body.encode(), self._clock()
        try:
            key = webhook.secret(await asyncio.to_thread(self._secret, hook.secret_file))
        except CupelError as error:
            return Attempt(at=now, seconds=0.0, error=error.message)
        signed = webhook.headers(key, delivery.key, delivery.event, body, now)
        return await webhook.post(hook.url, body, signed, self._clock)

    def _secret(self, file: str) -> bytes:
        """What is in a file of the configuration; relative ones are in the state directory."""
        path = self._state / file
        try:
            return path.read_bytes()
        except OSError as error:
            raise CupelError(f"{path} cannot be read: {error.strerror}") from None

    async def send_mail(self, name: str) -> float | None:
        """Send the mails that are due; when the next one is, if any."""
        assert self._mail is not None
        async with self._store.read() as tx:
            receiver = await _receiver(tx, name)
            waiting = await _pending(tx, name)
        if receiver.retry_at is not None and receiver.retry_at > self._clock():
            return receiver.retry_at
        for each in notice.letters(waiting, self._clock()):
            attempt = await self._write(self._mail, each)
            async with self._store.write() as tx:
                receiver = await self._told(tx, name, each.deliveries, attempt)
            if receiver.retry_at is not None:
                return receiver.retry_at
        async with self._store.read() as tx:
            waiting = await _pending(tx, name)
        return min((row.due_at for row in waiting), default=None)

    async def _write(self, config: MailConfig, about: Letter) -> Attempt:
        now = self._clock()
        password = None
        if config.password_file is not None:
            try:
                content = await asyncio.to_thread(self._secret, config.password_file)
            except CupelError as error:
                return Attempt(at=now, seconds=0.0, error=error.message)
            password = content.decode(errors="replace").strip()
        told = [views.NoticeView.model_validate_json(row.body) for row in about.deliveries]
        facts = [_fact(view) for view in told]
        text = letters.write(facts, url=self._url)
        message = mail.compose(text, config.sender, about.address, now)
        post = mail.Post(
            server=config.server,
            port=config.port,
            security=config.security,
            user=config.user,
            password=password,
        )
        return await asyncio.to_thread(mail.send, message, post, self._clock)

    async def _told(
        self, tx: Transaction, name: str, deliveries: Sequence[Delivery], attempt: Attempt
    ) -> Receiver:
        """Keep how an attempt went; the receiver as it is then."""
        now, before = self._clock(), await _receiver(tx, name)
        after = before
        for each in deliveries:
            current = await tx.get(Delivery, each.id)
            if current is not None:
                after, told = notice.attempted(before, current, attempt, now)
                await tx.put([told])
        await tx.put([after])
        if after.failures:
            await tx.put(notice.given_up(await _pending(tx, name), now))
        if after.failures == 1:
            log.warning("a receiver does not answer", receiver=name, error=attempt.error)
        return after

    # What people ask.

    async def receivers(self) -> list[views.ReceiverView]:
        """Those of the configuration, by name; mail last."""
        async with self._store.read() as tx:
            rows = {row.name: row for row in await tx.select(Receiver)}
            where = {"state": DeliveryState.PENDING}
            counts = {
                name: await tx.count(Delivery, {**where, "receiver": name}) for name in self._wishes
            }
        return [self._view(name, rows.get(name), counts[name]) for name in self._wishes]

    def _view(self, name: str, row: Receiver | None, pending: int) -> views.ReceiverView:
        wish = self._wishes[name]
        hook = self._webhooks.get(name)
        to = f"{self._mail.server}:{self._mail.port}" if self._mail is not None else ""
        return views.ReceiverView(
            name=name,
            kind="mail" if hook is None else "webhook",
            to=to if hook is None else hook.url,
            events=list(wish.events),
            projects=list(wish.projects),
            pending=pending,
            failures=0 if row is None else row.failures,
            failing_since=None if row is None else row.failing_since,
            retry_at=None if row is None else row.retry_at,
            delivered_at=None if row is None else row.delivered_at,
        )

    def known(self, name: str) -> str:
        """The name, which has to be a receiver's. Raises NotFound."""
        if name not in self._wishes:
            raise NotFound(f"no webhook is called {name}", hint="`cupel webhook list` has them all")
        return name

    async def redeliver(self, number: int) -> None:
        """Send a delivery once more. Raises NotFound, and Conflict while it waits anyway."""
        async with self._store.write() as tx:
            row = await tx.get(Delivery, number)
            if row is None:
                raise NotFound(
                    f"there is no delivery {number}",
                    hint="`cupel webhook deliveries NAME` has them",
                )
            name = self.known(row.receiver)
            if row.state is DeliveryState.PENDING:
                raise Conflict(f"delivery {number} is still to be sent")
            await tx.put([notice.once_more(row, self._clock())])
        self._wakes[name].set()

    # Housekeeping.

    async def _forgetting(self) -> None:
        while True:
            await self._guarded(self.forget)
            await asyncio.sleep(_ROUND)

    async def forget(self) -> None:
        """Forget deliveries that were finished long ago, and the oldest of too many."""
        before = self._clock() - KEPT
        over = {"state": {DeliveryState.DELIVERED, DeliveryState.FAILED}}
        while True:
            async with self._store.write() as tx:
                surplus = await tx.count(Delivery, over) - MOST_KEPT
                rows = await tx.select(Delivery, over, order="finished_at", limit=BATCH)
                old = [
                    row.id
                    for number, row in enumerate(rows)
                    if number < surplus or (row.finished_at or before) < before
                ]
                await tx.delete(Delivery, old)
            if len(old) < BATCH:
                return

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do it; what goes wrong is logged and tried again later: the gate goes on. Always True."""
        try:
            await work()
        except Exception as error:
            log.error("telling others failed, trying again", error=str(error), exc_info=error)
            await asyncio.sleep(1.0)
        return True


async def _receiver(tx: Transaction, name: str) -> Receiver:
    (row,) = await tx.select(Receiver, {"name": name})
    return row


async def _pending(tx: Transaction, name: str, *, limit: int | None = None) -> list[Delivery]:
    """What waits for a receiver, oldest first."""
    where = {"receiver": name, "state": DeliveryState.PENDING}
    return await tx.select(Delivery, where, limit=limit)


async def _more(news: Subscription) -> bool:
    """Wait until something has happened, or for a pulse; False if there is no more news to come."""
    try:
        async with asyncio.timeout(PULSE):
            await anext(news)
        await asyncio.sleep(GATHER)
    except TimeoutError:
        pass
    except StopAsyncIteration:
        return False
    return True


def _concerned(view: views.NoticeView) -> str:
    """Whom mail about an event goes to, as `Name <mail>`: a change's author, who may be nobody.

    Who asked for a hold is known by the name of a token, which has no address; if they pushed the
    change, its author is as good.
    """
    if view.change is None:
        return ""
    personal = view.event in notice.PERSONAL
    return "" if personal and view.user != view.change.owner else view.change.author


def _fact(view: views.NoticeView) -> letters.Fact:
    """What a letter needs to know of an event."""
    change, item = view.change, view.item
    return letters.Fact(
        key=view.id,
        event=view.event,
        text=view.text,
        why=None if item is None else item.text,
        pipeline=None if item is None else str(item.pipeline),
        project=view.project or "",
        branch=view.branch or "",
        change=None if change is None else change.id,
        title="" if change is None else change.title,
        patch_set=0 if change is None else change.patch_set,
        landed_commit=None if change is None else change.landed_commit,
        page=view.url if change is None or view.build is not None else change.url,
        errors=tuple(view.errors),
        reports=tuple(
            (each.context, each.state, each.description)
            for each in view.reports
            if each.context.count("/") > 1
        ),
    )
