"""Sending what others are to be told: each receiver at its own pace, again until it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from cupel.config.notice import MailConfig, WebhookConfig
from cupel.control import views
from cupel.control.clock import Clock
from cupel.control.recording import PULSE, surviving
from cupel.core import notice
from cupel.core.notice import Attempt, Delivery, DeliveryState, Letter, Receiver
from cupel.errors import CupelError
from cupel.report import letter as letters
from cupel.report import mail, webhook
from cupel.store.interface import Store, Transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Sender:
    """Sends to the receivers of the configuration; `wakes` are set when there is something new."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        state: Path,
        url: str,
        webhooks: Mapping[str, WebhookConfig],
        mail: MailConfig | None,
        wakes: Mapping[str, asyncio.Event],
    ) -> None:
        self._store = store
        self._clock = clock
        self._state = state
        self._url = url
        self._webhooks = webhooks
        self._mail = mail
        self._wakes = wakes

    async def run(self, name: str) -> None:
        """Send to one receiver whenever something is due, until cancelled."""
        wake, send = self._wakes[name], self.send_mail if name == notice.MAIL else self.send_next
        while True:
            wake.clear()
            due: list[float | None] = [None]

            async def attempt(due: list[float | None] = due) -> None:
                due[0] = await send(name)

            await surviving(attempt)
            wait = PULSE if due[0] is None else min(PULSE, max(0.0, due[0] - self._clock()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wake.wait()

    async def send_next(self, name: str) -> float | None:
        """Send the oldest delivery of a webhook if it is due; when the next one is, if any."""
        async with self._store.read() as tx:
            receiver = await receiver_of(tx, name)
            waiting = await pending(tx, name, limit=1)
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
            receiver = await receiver_of(tx, name)
            waiting = await pending(tx, name)
        if receiver.retry_at is not None and receiver.retry_at > self._clock():
            return receiver.retry_at
        for each in notice.letters(waiting, self._clock()):
            attempt = await self._write(self._mail, each)
            async with self._store.write() as tx:
                receiver = await self._told(tx, name, each.deliveries, attempt)
            if receiver.retry_at is not None:
                return receiver.retry_at
        async with self._store.read() as tx:
            waiting = await pending(tx, name)
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
        return await apart(lambda: mail.send(message, post, self._clock))

    async def _told(
        self, tx: Transaction, name: str, deliveries: Sequence[Delivery], attempt: Attempt
    ) -> Receiver:
        """Keep how an attempt went; the receiver as it is then."""
        now, before = self._clock(), await receiver_of(tx, name)
        after = before
        for each in deliveries:
            current = await tx.get(Delivery, each.id)
            if current is not None:
                after, told = notice.attempted(before, current, attempt, now)
                await tx.put([told])
        await tx.put([after])
        if after.failures:
            await tx.put(notice.given_up(await pending(tx, name), now))
        if after.failures == 1:
            log.warning("a receiver does not answer", receiver=name, error=attempt.error)
        return after


async def receiver_of(tx: Transaction, name: str) -> Receiver:
    (row,) = await tx.select(Receiver, {"name": name})
    return row


async def pending(tx: Transaction, name: str, *, limit: int | None = None) -> list[Delivery]:
    """What waits for a receiver, oldest first."""
    where = {"receiver": name, "state": DeliveryState.PENDING}
    return await tx.select(Delivery, where, limit=limit)


async def apart(work: Callable[[], T]) -> T:
    """What blocking work gives, done in a thread that nobody waits for once this is cancelled: a
    server that stops does not wait for a mail server that says nothing."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(set_it: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is who asked
            loop.call_soon_threadsafe(lambda: None if future.done() else set_it())

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            failed = error
            tell(lambda: future.set_exception(failed))
        else:
            tell(lambda: future.set_result(found))

    threading.Thread(target=run, daemon=True, name="mail").start()
    return await future


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
