"""A running Cupel without an engine, for those who serve it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cupel.artefact.store import ArtefactStore
from cupel.config.server import DEFAULT_LABELS, LabelConfig
from cupel.control.auth import Auth
from cupel.control.clock import Clock
from cupel.control.feed import Feed
from cupel.control.notices import Notices
from cupel.control.states import Repositories
from cupel.host.messages import HostLoad
from cupel.image.catalogue import Catalogue
from cupel.image.keeper import Keeper
from cupel.log.loads import LoadStore
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.memory import MemoryStore


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    read: str = "anyone"
    labels: Mapping[str, LabelConfig] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_LABELS)
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Commands that only remember what was asked: (what, of which, user, and how if at all)."""

    asked: list[tuple[object, ...]] = dataclasses.field(default_factory=list)

    def __getattr__(self, what: str) -> object:
        async def ask(about: object, *more: object, user: str, **how: object) -> None:
            self.asked.append((what, about, user, *more, *how.values()))

        return ask


def told(store: MemoryStore, state: Path, clock: Clock, **given: Any) -> Notices:
    """Those who are told of what happens: nobody, unless `given` says otherwise."""
    settings: dict[str, Any] = {"webhooks": {}, "mail": None, "url": "http://127.0.0.1:8470"}
    return Notices(
        store=store,
        clock=clock,
        logs=LogStore(state / "logs"),
        state=state,
        **({"feed": Feed()} | settings | given),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A running Cupel without an engine: what `control.context.Context` asks for."""

    state: Path
    store: MemoryStore
    clock: Clock
    logs: LogStore
    artefacts: ArtefactStore
    results: ResultStore
    repositories: Repositories
    auth: Auth
    images: Keeper
    notices: Notices
    past_loads: LoadStore
    url: str = "http://127.0.0.1:8470"
    config: Settings = dataclasses.field(default_factory=Settings)
    loads: dict[str, HostLoad] = dataclasses.field(default_factory=dict)
    feed: Feed = dataclasses.field(default_factory=Feed)
    commands: Asked = dataclasses.field(default_factory=Asked)
    visits: Any = None
    holds: Any = None
    offers: Any = None


def served(store: MemoryStore, state: Path, clock: Clock, **given: Any) -> Served:
    """A running Cupel; what is `given` stands in the place of what it would have."""
    parts: dict[str, Any] = {
        "logs": LogStore(state / "logs"),
        "artefacts": ArtefactStore(state / "artefacts"),
        "results": ResultStore(state / "results"),
        "repositories": Repositories(state / "git"),
        "auth": Auth(store, clock),
        "notices": told(store, state, clock),
        "images": Keeper(Catalogue(state / "images"), named=()),
        "past_loads": LoadStore(state / "loads"),
    }
    return Served(state=state, store=store, clock=clock, **(parts | given))
