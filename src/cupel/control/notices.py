"""Telling others what happened: recorded from the events, then sent, each receiver at its own pace.

Nothing here is on the way of a change to its branch. Deliveries are recorded once, whatever crashes
(`recording`); sending comes after, and is repeated until it arrives or is given up (`sending`,
`core.notice`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cupel.config.notice import MailConfig, WebhookConfig
from cupel.control import views
from cupel.control.clock import Clock
from cupel.control.feed import Feed
from cupel.control.recording import BATCH, Recorder, surviving
from cupel.control.sending import Sender, pending, receiver_of
from cupel.core import notice
from cupel.core.model import Event
from cupel.core.notice import Delivery, DeliveryState, Receiver, Wish
from cupel.errors import Conflict, NotFound
from cupel.log.store import LogStore
from cupel.store.interface import Store, Transaction

KEPT = 30 * 86_400.0
"""Seconds for which finished deliveries are kept."""

MOST_KEPT = 50_000
"""So many of them are kept at most."""

_ROUND = 3600.0
"""Seconds between two rounds of forgetting."""


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
        self._clock = clock
        self._webhooks = webhooks
        self._mail = mail
        self._wishes: dict[str, Wish] = {name: hook.wish for name, hook in webhooks.items()}
        if mail is not None:
            self._wishes[notice.MAIL] = mail.wish
        self._wakes = {name: asyncio.Event() for name in self._wishes}
        self._prepared = False
        self.recorder = Recorder(
            store=store,
            feed=feed,
            clock=clock,
            logs=logs,
            url=url,
            wishes=self._wishes,
            mail=mail,
            wake=lambda name: self._wakes[name].set(),
            random=random,
        )
        self.sender = Sender(
            store=store,
            clock=clock,
            state=state,
            url=url,
            webhooks=webhooks,
            mail=mail,
            wakes=self._wakes,
        )

    async def run(self) -> None:
        """Record and send, until cancelled."""
        while not self._prepared:
            await surviving(self.prepare)
        if not self._wishes:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run(), name="recording what others are told")
            group.create_task(self._forgetting(), name="forgetting what others were told")
            for name in self._wishes:
                group.create_task(self.sender.run(name), name=f"telling {name}")

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
        self._prepared = True

    async def _dismiss(self, tx: Transaction, name: str) -> None:
        waiting = await pending(tx, name)
        now = self._clock()
        await tx.put([replace(row, state=DeliveryState.FAILED, finished_at=now) for row in waiting])
        gone = await tx.select(Receiver, {"name": name})
        await tx.delete(Receiver, [row.id for row in gone])

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
        """Send a delivery once more; at once, if its receiver is left alone for a while.

        Raises NotFound, and Conflict while it is about to be sent anyway.
        """
        async with self._store.write() as tx:
            row = await tx.get(Delivery, number)
            if row is None:
                raise NotFound(
                    f"there is no delivery {number}",
                    hint="`cupel webhook deliveries NAME` has them",
                )
            receiver = await receiver_of(tx, self.known(row.receiver))
            if row.state is not DeliveryState.PENDING:
                await tx.put([notice.once_more(row, self._clock())])
            elif receiver.retry_at is None:
                raise Conflict(f"delivery {number} is still to be sent")
            await tx.put([replace(receiver, retry_at=None)])
        self._wakes[row.receiver].set()

    async def _forgetting(self) -> None:
        while True:
            await surviving(self.forget)
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
