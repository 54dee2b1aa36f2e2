"""Recording what others are to be told: deliveries are made of the events that are stored.

By a cursor in the same transaction, so each is made once, whatever crashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from cupel.config.notice import MailConfig
from cupel.control import views
from cupel.control.clock import Clock
from cupel.control.feed import Feed, Subscription
from cupel.control.views.cause import causes, to_tell
from cupel.control.views.notice import notice_view
from cupel.core import notice
from cupel.core.model import Build, Buildset, Event, Project
from cupel.core.notice import Delivery, DeliveryState, Receiver, Wish
from cupel.log.store import LogStore
from cupel.report import cause as words
from cupel.report import mail
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

MOST_LINES = 40
"""Lines of what went wrong that are sent."""


class Recorder:
    """Makes deliveries for those who have `wishes`, and calls `wake` with the name of each that
    got one. `random` makes their keys."""

    def __init__(
        self,
        *,
        store: Store,
        feed: Feed,
        clock: Clock,
        logs: LogStore,
        url: str,
        wishes: Mapping[str, Wish],
        mail: MailConfig | None,
        wake: Callable[[str], None],
        random: Callable[[], str],
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._logs = logs
        self._url = url
        self._wishes = wishes
        self._mail = mail
        self._wake = wake
        self._random = random

    async def run(self) -> None:
        """Record whatever happens, until cancelled."""
        while True:
            with self._feed.subscribe() as news:
                while await surviving(self.record) and await _more(news):
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
            self._wake(name)
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


async def surviving(work: Callable[[], Awaitable[None]]) -> bool:
    """Do it; what goes wrong is logged and tried again later: the gate goes on. Always True."""
    try:
        await work()
    except Exception as error:
        log.error("telling others failed, trying again", error=str(error), exc_info=error)
        await asyncio.sleep(1.0)
    return True


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
