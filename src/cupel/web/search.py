"""Search over everything, with the text of all logs: what logs have is sent as it is found."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import urlencode

import fastapi
from starlette.responses import HTMLResponse, Response, StreamingResponse

from cupel.config import quantity
from cupel.control import views
from cupel.core import search
from cupel.core.model import Project, Verdict
from cupel.errors import UserError
from cupel.log import pattern
from cupel.log.pattern import Pattern
from cupel.web import site
from cupel.web.problem import PageRoute
from cupel.web.site import Frame, Site

router = fastapi.APIRouter(
    include_in_schema=False, route_class=PageRoute, dependencies=[site.READER]
)

FEW, MANY = 6, 50
"""Rows of a kind that are shown: among all kinds, and of this kind alone."""

_FRAME = Frame(section="/search")
_LOGS = b"<!--logs-->"
"""Where in the page what logs have belongs. Nothing from outside can say so: it is escaped."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked for, as it stands in the address."""

    q: str = ""
    kind: str = ""
    project: str = ""
    job: str = ""
    verdict: str = ""
    since: str = ""
    regex: bool = False
    case: bool = False
    before: int | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Expressions, and what goes on where a search had got to, are for logs alone."""
        if self.regex or self.before is not None:
            return ("logs",)
        return (self.kind,) if self.kind in views.KINDS else views.KINDS

    @property
    def in_log(self) -> str:
        """The same question of one log, as the pages of a build take it."""
        flags = {name: 1 for name in ("regex", "case") if getattr(self, name)}
        return "?" + urlencode({"q": self.q, **flags})

    def address(self, **other: Any) -> str:
        """This question with something else about it."""
        fields = dataclasses.asdict(self) | other
        given = {name: value for name, value in fields.items() if value not in ("", False, None)}
        return "?" + urlencode(
            {name: 1 if value is True else value for name, value in given.items()}
        )


@router.get("/search")
async def page(
    request: fastapi.Request,
    q: Annotated[str, fastapi.Query(max_length=search.LONGEST)] = "",
    kind: str = "",
    project: str = "",
    job: str = "",
    verdict: str = "",
    since: str = "",
    regex: bool = False,
    case: bool = False,
    before: Annotated[int | None, fastapi.Query(ge=0)] = None,
) -> Response:
    here = site.of(request)
    question = Question(
        q=q.strip(), kind=kind, project=project, job=job.strip(), verdict=verdict,
        since=since.strip(), regex=regex, case=case, before=before,
    )  # fmt: skip
    async with here.server.store.read() as tx:
        projects = sorted(name for (name,) in await tx.values(Project, ["name"]))
    given: dict[str, Any] = {
        "question": question, "projects": projects, "now": here.now(), "found": None, "why": None,
    }  # fmt: skip
    if not question.q:
        return await here.page(request, "search.html", _FRAME, **given)
    try:
        wanted = pattern.checked(question.q, regex=regex, case=case)
        narrowed = await _narrowed(here, question)
    except UserError as error:
        frame = Frame(section="/search", status=400)
        return await here.page(request, "search.html", frame, **given | {"why": error})
    given["found"] = await views.search_view(
        here.server.store,
        here.server.results,
        search.read(question.q),
        narrowed,
        kinds=question.kinds,
        now=here.now(),
        limit=FEW if len(question.kinds) > 1 else MANY,
    )
    response = await here.page(request, "search.html", _FRAME, **given)
    if "logs" not in question.kinds:
        return response
    return _with_logs(here, question, wanted, narrowed, response)


def _with_logs(
    here: Site, question: Question, wanted: Pattern, narrowed: views.Narrowed, page: Response
) -> Response:
    """The page, in which what logs have follows as it is found; it stops with whoever reads it."""
    begin, _, end = bytes(page.body).partition(_LOGS)

    async def body() -> AsyncIterator[bytes]:
        yield begin
        logs = views.log_stream(
            here.server.store,
            here.server.logs,
            wanted,
            narrowed,
            now=here.now(),
            before=question.before,
        )
        template = here.template("search_log.html")
        async with aclosing(logs) as found:
            async for each in found:
                text = template.render(each=each, question=question, now=here.now())
                yield text.encode()
        yield end

    headers = {
        name: value for name, value in page.headers.items() if name.lower() != "content-length"
    }
    headers["X-Accel-Buffering"] = "no"
    return StreamingResponse(body(), page.status_code, headers, media_type=HTMLResponse.media_type)


async def _narrowed(here: Site, question: Question) -> views.Narrowed:
    """Raises `UserError` for what is no verdict, no time or no project."""
    if question.verdict and question.verdict not in set(Verdict):
        raise UserError(
            f"{question.verdict[:40]!r} is no verdict", hint="one of " + ", ".join(Verdict)
        )
    at = since(question.since, here.now()) if question.since else None
    async with here.server.store.read() as tx:
        return await views.narrowed(
            tx,
            project=question.project or None,
            job=question.job or None,
            verdict=Verdict(question.verdict) if question.verdict else None,
            since=at,
        )


def since(text: str, now: float) -> float:
    """The time that a date, or how long ago it was, means. Raises `UserError`."""
    seconds = quantity.seconds(text)
    if seconds is not None:
        return now - seconds
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        raise UserError(
            f"{text[:40]!r} is neither a date nor how long ago something was",
            hint="write 2026-03-12, 7d or 36h",
        ) from None
