"""The wiring: every part of a running Cupel, put together in one place."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from cupel.artefact.store import ArtefactStore
from cupel.config.server import ServerConfig
from cupel.control import auth as authentication
from cupel.control.auth import Auth, Scope
from cupel.control.clock import Clock
from cupel.control.commands import Commands
from cupel.control.dispatch import Dispatch
from cupel.control.engine import Engine
from cupel.control.feed import Feed
from cupel.control.holds import Holds
from cupel.control.hosts import Hosts
from cupel.control.notices import Notices
from cupel.control.offers import Offers
from cupel.control.pools import pools
from cupel.control.pushes import Pushes
from cupel.control.remote import Remote
from cupel.control.signing import Signing
from cupel.control.states import Repositories, States
from cupel.control.visits import Visits
from cupel.core import events
from cupel.core.model import (
    LIVE_ITEMS,
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Evidence,
    Item,
    Project,
)
from cupel.core.results import FailedTest
from cupel.errors import Forbidden, InfraError
from cupel.forge.builtin import HookServer
from cupel.git import hooks, repository
from cupel.git.serve import GitHttp
from cupel.host import joining
from cupel.host.messages import HostLoad
from cupel.image.keeper import Keeper
from cupel.log.loads import LoadStore
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.interface import Store

log = structlog.get_logger(__name__)

HOST_TOKEN = "embedded host"  # noqa: S105 - a name, not a secret
_HOUSEKEEPING = 600.0
"""Seconds between two rounds of tidying."""

_RETURN = 60.0
"""Seconds that hosts get to come back after the server's restart."""

_BATCH = 500
"""Builds that are looked at in one read."""

_REUSED_FOR = 0.9
"""The part of the time that builds' artefacts are kept in which a pass may be reused: what reuses
it may need them for a while yet."""

_ROUNDS_A_DAY = 144
"""Repositories are packed in one round of so many."""


class Cupel:
    """A Cupel that is about to run. `url` is where people find it, `inner` where hosts do."""

    def __init__(
        self,
        *,
        state: Path,
        config: ServerConfig,
        store: Store,
        clock: Clock,
        images: Keeper,
        url: str,
        inner: str,
    ) -> None:
        self.state = state
        self.config = config
        self.store = store
        self.clock = clock
        self.images = images
        self.url = url
        self._inner = inner
        self.feed = Feed()
        self.loads: dict[str, HostLoad] = {}
        self.past_loads = LoadStore(state / "loads")
        self._let_go_up_to = 0
        self.logs = LogStore(state / "logs")
        self.artefacts = ArtefactStore(state / "artefacts")
        self.results = ResultStore(state / "results")
        self.auth = Auth(store, clock)
        self.engine = Engine(store, self.feed, clock)
        self.repositories = Repositories(state / "git")
        self.visits = Visits(store, self.engine)
        self.holds = Holds(store, self.engine, clock, longest=config.hold_limit)
        self.states = States(self.repositories, config.labels)
        self.offers = Offers(
            store, self.engine, self.repositories, self.states, allowed=config.offers
        )
        self.commands = Commands(
            store, self.engine, self.repositories, self._hooks, clock, images.catalogue.exists
        )
        self.notices = Notices(
            store=store,
            feed=self.feed,
            clock=clock,
            logs=self.logs,
            state=state,
            url=url,
            webhooks=config.webhooks,
            mail=config.mail,
        )
        self.hook_server = HookServer(
            state / "hook.sock",
            Pushes(store, self.engine, self.feed, self.states, self.logs, clock, url=url),
        )

    @property
    def _hooks(self) -> Path:
        return self.state / "hooks"

    async def prepare(self) -> Hosts:
        """Put right what a crash or an upgrade left, and open the door for hosts."""
        hooks.install(self._hooks)
        self.repositories.root.mkdir(parents=True, exist_ok=True)
        for project in await self._projects():
            repo = self.repositories.path(project.name)
            repository.refresh(repo, self._hooks)
            await self._see_heads(project)
        for token in await self.auth.tokens():
            if token.name == HOST_TOKEN:
                await self.auth.revoke(token.id)
        await self.engine.record(pools(self.config))
        issued = await self.auth.create("host", name=HOST_TOKEN, scopes=[Scope.HOST])
        return Hosts(
            self.store,
            self.engine,
            self.images,
            self.logs,
            self.artefacts,
            self.clock,
            self.config,
            self.loads,
            self.past_loads,
            self.visits,
            results=self.results,
            url=self._inner,
            token=issued.secret,
        )

    async def run(self, hosts: Hosts) -> None:
        """Plan, dispatch and take pushes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            dispatch = Dispatch(group, self.engine, self.states, hosts)
            group.create_task(self.engine.run(dispatch), name="engine")
            group.create_task(self.hook_server.run(), name="hooks")
            group.create_task(self._keep_house(), name="housekeeping")
            group.create_task(self._miss(hosts), name="absent hosts")
            signing = Signing(self.store, self.feed, self.logs, self.state / "logs")
            group.create_task(signing.run(), name="signatures of logs")
            group.create_task(self.notices.run(), name="notices")
            group.create_task(self.visits.warn(self.clock), name="holds that end soon")

    def application(self, pages: ASGIApp, remote: Remote | None = None) -> ASGIApp:
        """Git by its own addresses, hosts by theirs to `remote`, everything else to `pages`."""
        git = GitHttp(
            authorise=self._authorise,
            locate=self._locate,
            hook_socket=self.state / "hook.sock",
        )
        router = Router(routes=git.routes())
        doors = Router(routes=[] if remote is None else [remote.route()])

        async def front(scope: AsgiScope, receive: Receive, send: Send) -> None:
            path = str(scope.get("path", ""))
            if scope["type"] == "websocket" and path == joining.PATH:
                await doors(scope, receive, send)
                return
            is_git = scope["type"] == "http" and path.endswith(
                ("/info/refs", "/git-upload-pack", "/git-receive-pack")
            )
            await (router if is_git else pages)(scope, receive, send)

        return front

    async def _projects(self) -> list[Project]:
        async with self.store.read() as tx:
            return await tx.select(Project)

    async def _see_heads(self, project: Project) -> None:
        """Record where somebody moved a branch around the gate."""
        heads = await self.states.heads(project)
        async with self.store.read() as tx:
            known = await tx.select(Branch, {"project_id": project.id})
        for branch in known:
            if branch.head != heads.get(branch.name):
                await self.engine.record(
                    events.HeadSeen(
                        project_id=project.id, branch=branch.name, head=heads.get(branch.name)
                    )
                )

    async def _authorise(self, request: Request, project: str, write: bool) -> str | None:
        """Who fetches or pushes; None asks for credentials. Raises `Forbidden`."""
        header = request.headers.get("authorization")
        try:
            principal = await self.auth.verify(authorization=header)
        except authentication.Unauthenticated:
            return None
        if principal is None:
            return "anyone" if not write and self.config.read == "anyone" else None
        if write and not principal.may(Scope.WRITE):
            raise Forbidden("this token may not push", hint="it needs the scope `write`")
        if not write and not (principal.may(Scope.READ) or principal.may(Scope.HOST)):
            raise Forbidden("this token may not fetch", hint="it needs the scope `read`")
        return principal.user

    async def _locate(self, name: str) -> tuple[str, Path] | None:
        """The project of an address. Gerrit's clients put `a/` before it when they log in."""
        known = {project.name for project in await self._projects()}
        for project in (name, name.removeprefix("a/")):
            if project in known:
                return project, self.repositories.path(project)
        return None

    async def _keep_house(self) -> None:
        for number in itertools.count(1):
            for project in await self._projects():
                await self._tidy(project, pack=number % _ROUNDS_A_DAY == 0)
            await self._forget_passes(self.clock() - _REUSED_FOR * self.config.keep)
            await self._let_go(self.clock() - self.config.keep)
            await asyncio.sleep(_HOUSEKEEPING)

    async def _miss(self, hosts: Hosts) -> None:
        """Wait for the hosts of an earlier life, for a while."""
        await asyncio.sleep(_RETURN)
        await hosts.give_up_absent()

    async def _tidy(self, project: Project, *, pack: bool) -> None:
        """Trouble with one repository is no reason to neglect the others."""
        try:
            await self._see_heads(project)
            await self._drop_states(project)
            if pack:
                await repository.maintain(self.repositories.path(project.name))
        except InfraError as error:
            log.warning("could not tidy", project=project.name, error=str(error))

    async def _forget_passes(self, before: float) -> None:
        """Delete evidence from before then, so that what is reused is there to be looked at."""
        while True:
            async with self.store.write() as tx:
                found = await tx.select(Evidence, limit=_BATCH)
                old = [each.id for each in found if each.created_at < before]
                await tx.delete(Evidence, old)
            if len(old) < _BATCH:
                return

    async def _let_go(self, before: float) -> None:
        """Delete logs, artefacts and results of builds that finished before then. Their rows stay,
        but those of failed tests, whose results are gone."""
        after = self._let_go_up_to
        while True:
            async with self.store.read() as tx:
                builds = await tx.select(Build, after=after, limit=_BATCH)
            for build in builds:
                if build.finished_at is None or build.finished_at >= before:
                    return
                await asyncio.to_thread(self._delete, build.id)
                await self._forget_failed_tests(build.id)
                after = self._let_go_up_to = build.id
            if len(builds) < _BATCH:
                return

    async def _forget_failed_tests(self, build_id: int) -> None:
        async with self.store.read() as tx:
            found = await tx.select(FailedTest, {"build_id": build_id})
        if found:
            async with self.store.write() as tx:
                await tx.delete(FailedTest, [each.id for each in found])

    def _delete(self, build_id: int) -> None:
        self.results.delete(build_id)
        self.logs.delete(build_id)
        self.artefacts.delete(build_id)

    async def _drop_states(self, project: Project) -> None:
        """Let go of speculative states that nobody will land or build any more."""
        repo = self.repositories.path(project.name)
        kept = await repository.states(repo)
        states = await self._states_in_use()
        beside = {commit for each in states for at, commit in each.beside if at == project.id}
        needed = {each.id for each in states}
        needed |= {number for number, commit in kept.items() if commit in beside}
        await repository.drop_states(repo, sorted(set(kept) - needed))

    async def _states_in_use(self) -> list[Buildset]:
        """Those that live items are proved on, and those that something still runs on."""
        useful = [state for state in BuildsetState if state is not BuildsetState.SUPERSEDED]
        unfinished = [state for state in BuildState if state is not BuildState.FINISHED]
        async with self.store.read() as tx:
            live = await tx.select(Item, {"state": tuple(LIVE_ITEMS)})
            builds = await tx.select(Build, {"state": unfinished})
            where = {"item_id": {item.id for item in live}, "state": useful}
            found = await tx.select(Buildset, where)
            others = {build.buildset_id for build in builds} - {each.id for each in found}
            return found + await tx.select(Buildset, {"id": others})
