"""What the API and the pages need of a running Cupel; `control.app` has it, and so have tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cupel.artefact.store import ArtefactStore
from cupel.config.server import LabelConfig
from cupel.control.auth import Auth
from cupel.control.clock import Clock
from cupel.control.feed import Feed
from cupel.control.holds import Holds
from cupel.control.offers import Offers
from cupel.control.states import Repositories
from cupel.control.views.nouns.notice import ReceiverView
from cupel.control.visits import Visits
from cupel.core.model import Build, Change, Policy, Project, Queue
from cupel.core.quarantine import Quarantine
from cupel.host.messages import HostLoad
from cupel.image.keeper import Keeper
from cupel.log.loads import LoadStore
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.interface import Store


class Settings(Protocol):
    """What the server's configuration says of its service. `read` is `anyone` or `login`."""

    @property
    def read(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, LabelConfig]: ...


class Commands(Protocol):
    """What people ask for. Each raises NotFound, Conflict, Forbidden or another UserError."""

    async def add_project(
        self,
        name: str,
        *,
        source: str | None,
        branch: str | None,
        policy: Policy,
        user: str,
        queue: str | None = None,
    ) -> Project: ...

    async def set_project(
        self, name: str, *, policy: Mapping[str, Any], queue: str | None, user: str
    ) -> Project: ...

    async def set_queue(self, name: str, rules: Mapping[str, Any], *, user: str) -> Queue: ...

    async def close_queue(self, name: str, *, reason: str, user: str) -> Queue: ...

    async def open_queue(self, name: str, *, user: str) -> Queue: ...

    async def delete_machine(self, number: int, *, user: str) -> None: ...

    async def clear_caches(self, name: str, *, cache: str | None, user: str) -> int: ...

    async def drain_host(self, name: str, *, draining: bool, user: str) -> None: ...

    async def release_host(self, name: str, *, user: str) -> None: ...

    async def forget_host(self, name: str, *, user: str) -> None: ...

    async def promote(self, change_ids: Sequence[int], *, user: str) -> list[Change]: ...

    async def set_urgent(self, change_id: int, *, urgent: bool, user: str) -> Change: ...

    async def approve(
        self, change_id: int, *, user: str, patch_set: int | None = None
    ) -> Change: ...

    async def withdraw(self, change_id: int, *, user: str) -> Change: ...

    async def land(self, change_id: int, *, user: str) -> Change: ...

    async def dequeue(self, change_id: int, *, user: str) -> Change: ...

    async def retry_change(self, change_id: int, *, everything: bool, user: str) -> Change: ...

    async def retry_build(self, build_id: int, *, everything: bool, user: str) -> Build: ...

    async def quarantine(
        self,
        project: str,
        test: str,
        *,
        job: str | None,
        owner: str,
        reason: str,
        seconds: float,
        user: str,
    ) -> Quarantine: ...

    async def release(self, number: int, *, user: str) -> Quarantine: ...

    async def abandon(self, change_id: int, *, user: str) -> Change: ...


class Notices(Protocol):
    """Those who are told what happens."""

    async def receivers(self) -> list[ReceiverView]: ...

    def known(self, name: str) -> str:
        """The name of a receiver. Raises NotFound for another."""
        ...

    async def redeliver(self, number: int) -> None:
        """Send a delivery once more. Raises NotFound or Conflict."""
        ...


class Context(Protocol):
    """A running Cupel, as those see it who serve it."""

    @property
    def state(self) -> Path: ...
    @property
    def url(self) -> str: ...
    @property
    def config(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def store(self) -> Store: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def commands(self) -> Commands: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def loads(self) -> Mapping[str, HostLoad]: ...
    @property
    def past_loads(self) -> LoadStore: ...
    @property
    def logs(self) -> LogStore: ...
    @property
    def artefacts(self) -> ArtefactStore: ...

    @property
    def results(self) -> ResultStore: ...
    @property
    def repositories(self) -> Repositories: ...
    @property
    def images(self) -> Keeper: ...
    @property
    def holds(self) -> Holds: ...
    @property
    def offers(self) -> Offers: ...
    @property
    def visits(self) -> Visits: ...
    @property
    def auth(self) -> Auth: ...
