"""A typed client of the API, as the command line uses it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import pydantic

import cupel
from cupel.api.nouns import (
    IssuedView,
    LoginView,
    MetricsView,
    MeView,
    Problem,
    TokenView,
)
from cupel.control import views
from cupel.directory import START, Address, is_local
from cupel.errors import Bug, Conflict, CupelError, Forbidden, InfraError, NotFound, UserError
from cupel.host.messages import MachineSpec

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds without a byte after which a request is given up; a followed log may stay silent."""

_ERRORS: Mapping[int, type[CupelError]] = {403: Forbidden, 404: NotFound, 409: Conflict}


class Client:
    """Speaks to one server; a context manager. Each method raises the errors of `cupel.errors`."""

    def __init__(
        self, address: Address, *, http: httpx2.Client | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`http` speaks in place of a new one, with the address as its base."""
        self.url = address.url
        self._token = address.token
        self._http = http or httpx2.Client(
            base_url=address.url,
            timeout=timeout,
            trust_env=not is_local(address.url),  # a proxy cannot reach this computer's loopback
        )
        self._http.headers["User-Agent"] = f"cupel/{cupel.__version__}"
        if address.token is not None:
            self._http.headers["Authorization"] = f"Bearer {address.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._http.close()

    def remote(self, git_url: str) -> str:
        """A project's address with what git needs to push there: any name, and the token."""
        parts = urlsplit(git_url)
        if self._token is None:
            return git_url
        return parts._replace(netloc=f"cupel:{self._token}@{parts.netloc}").geturl()

    def status(self) -> views.StatusView:
        return self._get(views.StatusView, "/api/status")

    def mine(self) -> views.MineView:
        return self._get(views.MineView, "/api/mine")

    def projects(self) -> list[views.ProjectView]:
        return self._get(list[views.ProjectView], "/api/projects")

    def add_project(
        self,
        name: str,
        *,
        source: str | None = None,
        branch: str | None = None,
        queue: str | None = None,
        policy: Mapping[str, str | int | bool] | None = None,
    ) -> views.ProjectView:
        body = {
            "name": name,
            "source": source,
            "branch": branch,
            "queue": queue,
            "policy": dict(policy or {}),
        }
        # A repository to import may take as long as its network does.
        return self._send(views.ProjectView, "POST", "/api/projects", body, timeout=None)

    def set_project(
        self, name: str, *, queue: str | None, policy: Mapping[str, str | int | bool]
    ) -> views.ProjectView:
        """`policy` are the fields that shall change."""
        body = {"queue": queue, "policy": dict(policy)}
        return self._send(views.ProjectView, "PATCH", f"/api/projects/{_part(name)}", body)

    def rules(self) -> list[views.RulesView]:
        return self._get(list[views.RulesView], "/api/rules")

    def rules_of(self, queue: str) -> views.RulesView:
        return self._get(views.RulesView, f"/api/rules/{_part(queue)}")

    def plan(self, queue: str, branch: str | None = None) -> views.PlanView:
        return self._get(views.PlanView, f"/api/rules/{_part(queue)}/plan", branch=branch)

    def set_rules(self, queue: str, rules: Mapping[str, Any]) -> views.RulesView:
        """`rules` are the fields that shall change; the queue is made if there is none."""
        return self._send(views.RulesView, "PATCH", f"/api/rules/{_part(queue)}", rules)

    def close(self, queue: str, reason: str) -> views.RulesView:
        body = {"reason": reason}
        return self._send(views.RulesView, "POST", f"/api/rules/{_part(queue)}/close", body)

    def reopen(self, queue: str) -> views.RulesView:
        return self._send(views.RulesView, "POST", f"/api/rules/{_part(queue)}/open")

    def promote(self, numbers: Sequence[int]) -> list[views.ChangeRef]:
        body = {"changes": list(numbers)}
        return self._send(list[views.ChangeRef], "POST", "/api/changes/promote", body)

    def queues(self, project: str | None = None) -> list[views.QueueView]:
        return self._get(list[views.QueueView], "/api/queues", project=project)

    def queue(self, project: str, branch: str | None = None) -> views.QueueView:
        return self._get(views.QueueView, f"/api/queues/{_part(project)}", branch=branch)

    def changes(
        self,
        *,
        project: str | None = None,
        state: str | None = None,
        author: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> views.Page[views.ListedChange]:
        return self._get(
            views.Page[views.ListedChange],
            "/api/changes",
            project=project,
            state=state,
            author=author,
            limit=limit,
            before=before,
        )

    def change(self, number: int) -> views.ChangeView:
        return self._get(views.ChangeView, f"/api/changes/{number}")

    def decide(
        self, action: str, number: int, body: Mapping[str, int] | None = None
    ) -> views.ChangeView:
        """`action` is approve, withdraw, land, urgent, dequeue or abandon."""
        return self._send(views.ChangeView, "POST", f"/api/changes/{number}/{action}", body)

    def retry(self, number: int, *, everything: bool) -> views.ChangeView | views.BuildView:
        """Of a change or a build, whichever has the number: they are counted together."""
        body = {"all": everything}
        try:
            return self._send(views.ChangeView, "POST", f"/api/changes/{number}/retry", body)
        except NotFound:
            return self._send(views.BuildView, "POST", f"/api/builds/{number}/retry", body)

    def search(
        self,
        q: str,
        *,
        kind: Sequence[str] = (),
        project: str | None = None,
        job: str | None = None,
        verdict: str | None = None,
        since: float | None = None,
        regex: bool = False,
        case: bool = False,
        limit: int | None = None,
        before: int | None = None,
    ) -> views.SearchView:
        return self._get(
            views.SearchView,
            "/api/search",
            q=q,
            kind=list(kind) or None,
            project=project,
            job=job,
            verdict=verdict,
            since=since,
            regex=regex or None,
            case=case or None,
            limit=limit,
            before=before,
        )

    def flakes(
        self, *, project: str | None = None, limit: int | None = None
    ) -> list[views.FlakeView]:
        return self._get(list[views.FlakeView], "/api/flakes", project=project, limit=limit)

    def quarantines(
        self, *, project: str | None = None, ended: bool = False
    ) -> list[views.QuarantineView]:
        return self._get(
            list[views.QuarantineView], "/api/quarantines", project=project, ended=ended
        )

    def quarantine(
        self,
        project: str,
        test: str,
        *,
        job: str | None,
        owner: str,
        reason: str,
        seconds: float,
    ) -> views.QuarantineView:
        body = {
            "project": project,
            "test": test,
            "job": job,
            "owner": owner,
            "reason": reason,
            "seconds": seconds,
        }
        return self._send(views.QuarantineView, "POST", "/api/quarantines", body)

    def release(self, quarantine: int) -> views.QuarantineView:
        return self._send(views.QuarantineView, "DELETE", f"/api/quarantines/{quarantine}")

    def builds(
        self,
        *,
        project: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> views.Page[views.BuildRef]:
        return self._get(
            views.Page[views.BuildRef],
            "/api/builds",
            project=project,
            state=state,
            limit=limit,
            before=before,
        )

    def build(self, number: int) -> views.BuildView:
        return self._get(views.BuildView, f"/api/builds/{number}")

    def tests(
        self,
        build: int,
        *,
        outcome: str | None = None,
        text: str | None = None,
        first: int = 0,
        limit: int = 100,
    ) -> views.ResultsView:
        """Tests of a build, those that failed first."""
        return self._get(
            views.ResultsView,
            f"/api/builds/{build}/tests",
            outcome=outcome,
            text=text,
            first=first,
            limit=limit,
        )

    def test_history(
        self, project: str, name: str, *, job: str | None = None, limit: int = 50
    ) -> views.TestHistoryView:
        """How a test went in builds, newest first."""
        path = f"/api/projects/{_part(project)}/tests"
        return self._get(views.TestHistoryView, path, name=name, job=job, limit=limit)

    def metrics(self, build: int, *, first: int = 0, part: int = 0) -> MetricsView:
        """What a machine of a build used, from row `first` on."""
        return self._get(MetricsView, f"/api/builds/{build}/metrics", first=first, part=part)

    def log(
        self, build: int, *, follow: bool = False, start: int = 0
    ) -> Iterator[views.LogLineView]:
        """The lines of a build's log from number `start` on; with `follow`, those to come too."""
        query: dict[str, str | int] = {"format": "json", "start": start, "follow": follow}
        with (
            self._errors(),
            self._http.stream(
                "GET",
                f"/api/builds/{build}/log",
                params=query,
                timeout=httpx2.Timeout(TIMEOUT, read=None if follow else TIMEOUT),
            ) as response,
        ):
            self._check(response)
            for line in response.iter_lines():
                yield views.LogLineView.model_validate_json(line)

    def events(self) -> Iterator[views.EventView]:
        """What happens from now on, as it happens. Ends when the server stops."""
        with (
            self._errors(),
            self._http.stream(
                "GET", "/api/events/stream", timeout=httpx2.Timeout(TIMEOUT, read=TIMEOUT * 2)
            ) as response,
        ):
            self._check(response)
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield views.EventView.model_validate_json(line.removeprefix("data: "))

    def machines(self, *, gone: bool = False) -> views.Page[views.MachineView]:
        return self._get(views.Page[views.MachineView], "/api/machines", gone=gone)

    def machine(self, number: int) -> views.MachineView:
        return self._get(views.MachineView, f"/api/machines/{number}")

    def machine_past(self, number: int) -> views.MachinePastView:
        return self._get(views.MachinePastView, f"/api/machines/{number}/history")

    def delete_machine(self, number: int) -> views.MachineView:
        return self._send(views.MachineView, "DELETE", f"/api/machines/{number}")

    def machines_of_labels(self, architecture: str) -> list[MachineSpec]:
        """How a computer of this architecture makes the machines that jobs ask for."""
        path = "/api/labels/machines"
        return self._get(list[MachineSpec], path, architecture=architecture)

    def evidence(self, key: str) -> views.EvidenceView:
        """The pass that is good for a key. Raises `NotFound`."""
        return self._get(views.EvidenceView, f"/api/evidence/{key}")

    def offer(self, body: Mapping[str, Any]) -> views.OfferedView:
        """Offer a pass of a run here, or ask whether it would be taken."""
        return self._send(views.OfferedView, "POST", "/api/evidence", body)

    def labels(self) -> list[views.LabelView]:
        return self._get(list[views.LabelView], "/api/labels")

    def holds(self, *, over: bool = False) -> list[views.HoldView]:
        return self._get(list[views.HoldView], "/api/holds", over=over)

    def ask_hold(self, body: Mapping[str, Any]) -> views.HoldView:
        return self._send(views.HoldView, "POST", "/api/holds", body)

    def release_hold(self, number: int) -> views.HoldView:
        return self._send(views.HoldView, "DELETE", f"/api/holds/{number}")

    def pools(self) -> list[views.PoolView]:
        return self._get(list[views.PoolView], "/api/pools")

    def host(self, name: str) -> views.HostView:
        return self._get(views.HostView, f"/api/hosts/{_part(name)}")

    def host_past(self, name: str) -> views.HostPastView:
        return self._get(views.HostPastView, f"/api/hosts/{_part(name)}/history")

    def drain_host(self, name: str, *, draining: bool) -> views.HostView:
        word = "drain" if draining else "undrain"
        return self._send(views.HostView, "POST", f"/api/hosts/{_part(name)}/{word}")

    def release_host(self, name: str) -> views.HostView:
        return self._send(views.HostView, "POST", f"/api/hosts/{_part(name)}/release")

    def forget_host(self, name: str) -> None:
        with self._errors():
            self._check(self._http.delete(f"/api/hosts/{_part(name)}"))

    def notes(self, *, change: int | None = None, build: int | None = None) -> views.NotesView:
        path = f"/api/changes/{change}" if build is None else f"/api/builds/{build}"
        return self._get(views.NotesView, f"{path}/notes")

    def caches(self, project: str | None = None) -> list[views.CacheView]:
        return self._get(list[views.CacheView], "/api/caches", project=project)

    def clear_caches(self, project: str, name: str | None = None) -> views.ClearedView:
        path = f"/api/caches/{_part(project)}"
        query = "" if name is None else f"?name={_part(name)}"
        return self._send(views.ClearedView, "DELETE", path + query)

    def hosts(self) -> list[views.HostView]:
        return self._get(list[views.HostView], "/api/hosts")

    def images(self) -> list[views.ImageView]:
        return self._get(list[views.ImageView], "/api/images")

    def image(self, name: str) -> views.ImageView:
        return self._get(views.ImageView, f"/api/images/{_part(name)}")

    def find(
        self, build: int, text: str, *, regex: bool = False, machine: str | None = None
    ) -> Iterator[views.LogLineView]:
        """The lines of a build's log in which a text is found, whatever its case."""
        path = f"/api/builds/{build}/log/search"
        start, left = 0, True
        while left:
            query: dict[str, Any] = {"q": text, "from": start, "limit": 1000, "machine": machine}
            found = self._get(views.FoundView, path, **query, regex=str(regex).lower())
            yield from found.lines
            left = found.count > len(found.lines)
            start = found.lines[-1].number + 1 if left else found.end

    def image_past(self, name: str) -> views.ImagePastView:
        return self._get(views.ImagePastView, f"/api/images/{_part(name)}/history")

    def image_log(self, name: str) -> str:
        """What the build that is under way has said, or the last one."""
        with self._errors():
            answer = self._http.get(f"/api/images/{_part(name)}/log")
            self._check(answer)
            return answer.text

    def build_image(self, name: str) -> views.ImageView:
        return self._send(views.ImageView, "POST", f"/api/images/{_part(name)}/build")

    def roll_back_image(self, name: str) -> views.ImageView:
        return self._send(views.ImageView, "POST", f"/api/images/{_part(name)}/rollback")

    def image_difference(self, old: str, new: str) -> views.ImageDifferenceView:
        return self._get(views.ImageDifferenceView, "/api/images/difference", old=old, new=new)

    def prune_images(self, keep: int) -> list[str]:
        """Remove what nothing uses, but for the newest; the digests of what was removed."""
        return self._send(list[str], "POST", "/api/images/prune", {"keep": keep})

    def webhooks(self) -> list[views.ReceiverView]:
        return self._get(list[views.ReceiverView], "/api/webhooks")

    def deliveries(
        self, name: str, *, limit: int | None = None, before: int | None = None
    ) -> views.Page[views.DeliveryRef]:
        path = f"/api/webhooks/{_part(name)}/deliveries"
        return self._get(views.Page[views.DeliveryRef], path, limit=limit, before=before)

    def delivery(self, number: int) -> views.DeliveryView:
        return self._get(views.DeliveryView, f"/api/deliveries/{number}")

    def redeliver(self, number: int) -> views.DeliveryView:
        return self._send(views.DeliveryView, "POST", f"/api/deliveries/{number}/redeliver")

    def tokens(self) -> list[TokenView]:
        return self._get(list[TokenView], "/api/tokens")

    def create_token(self, body: Mapping[str, Any]) -> IssuedView:
        return self._send(IssuedView, "POST", "/api/tokens", body)

    def revoke_token(self, number: int) -> None:
        with self._errors():
            self._check(self._http.delete(f"/api/tokens/{number}"))

    @property
    def token(self) -> str | None:
        """What it says who it is with."""
        return self._token

    def me(self) -> MeView:
        return self._get(MeView, "/api/me")

    def login(self) -> LoginView:
        return self._send(LoginView, "POST", "/api/login")

    def _get(
        self,
        kind: type[T],
        path: str,
        /,
        **query: str | float | bool | Sequence[str] | None,
    ) -> T:
        asked = {name: value for name, value in query.items() if value is not None}
        with self._errors():
            return self._read(kind, self._http.get(path, params=asked))

    def _send(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = TIMEOUT,
    ) -> T:
        with self._errors():
            answer = self._http.request(
                method, path, json=body, timeout=httpx2.Timeout(TIMEOUT, read=timeout)
            )
            return self._read(kind, answer)

    def _read(self, kind: type[T], response: httpx2.Response) -> T:
        self._check(response)
        try:
            return pydantic.TypeAdapter(kind).validate_json(response.content)
        except pydantic.ValidationError:
            raise self._strange(response) from None

    def _check(self, response: httpx2.Response) -> None:
        """Raise what the server said, as the error that it was there."""
        if response.is_success:
            return
        response.read()
        try:
            problem = Problem.model_validate_json(response.content)
        except pydantic.ValidationError:
            raise self._strange(response) from None
        raise _error(problem)

    def _strange(self, response: httpx2.Response) -> CupelError:
        return InfraError(
            f"{self.url} does not answer like a Cupel {cupel.__version__}"
            f" (status {response.status_code})",
            hint="is that the right URL, and is the server as new as this command?",
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate what the network did."""
        try:
            yield
        except httpx2.ConnectError:
            raise InfraError(f"no Cupel answers at {self.url}", hint=START) from None
        except httpx2.TimeoutException:
            raise InfraError(f"{self.url} does not answer in time") from None
        except httpx2.HTTPError as error:
            raise InfraError(f"the connection to {self.url} broke: {error}") from None


def _error(problem: Problem) -> CupelError:
    """The error that the server answered with."""
    message, hint = problem.detail, problem.hint
    if problem.status == 401:
        return Forbidden(
            f"the server refuses: {message}",
            hint="say a valid token with --token or CUPEL_TOKEN",
        )
    if problem.status == 503:
        return InfraError(message, hint=hint)
    if problem.status >= 500:
        return Bug(message, hint=hint)
    return _ERRORS.get(problem.status, UserError)(message, hint=hint)


def _part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
