"""What git-review asks of a Gerrit, and no more: a query of changes, and the commit-msg hook.

The addresses, parameters and answers are Gerrit's, as the client `git-review` uses them
(docs/reference/gerrit.md). They are no part of our own API, and nothing else should be built on
them.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

import fastapi
from fastapi.responses import PlainTextResponse, Response

from cupel.api.caller import READER, Cupel
from cupel.control import views
from cupel.core.model import Change, ChangeState, PatchSet, Project
from cupel.errors import UserError
from cupel.git import repository
from cupel.store.interface import Transaction

router = fastapi.APIRouter(include_in_schema=False)

GUARD = ")]}'\n"
"""Comes before every answer, so that no page of another site can run it as a script."""

LIMIT = 500
"""Changes in an answer."""

_STATES: dict[str, tuple[ChangeState, ...]] = {
    "open": (ChangeState.OPEN,),
    "merged": (ChangeState.LANDED,),
    "abandoned": (ChangeState.ABANDONED,),
    "closed": (ChangeState.LANDED, ChangeState.ABANDONED),
}
_STATUS = {
    ChangeState.OPEN: "NEW",
    ChangeState.LANDED: "MERGED",
    ChangeState.ABANDONED: "ABANDONED",
}
_REVISIONS = frozenset({"CURRENT_REVISION", "ALL_REVISIONS"})

_TERM = re.compile(r'(?:([a-z]+):)?("[^"]*"|\{[^}]*\}|[^\s"{]\S*)')
_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"I[0-9a-fA-F]{8,64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which changes are asked for; None and empty: any."""

    project: str | None = None
    branch: str | None = None
    topic: str | None = None
    states: tuple[ChangeState, ...] = ()
    number: int | None = None
    key: str | None = None


def parse(text: str) -> Query:
    """A query in Gerrit's words, of those that git-review uses. Raises `UserError`."""
    query = Query()
    rest = text.strip()
    while rest:
        found = _TERM.match(rest)
        if found is None:
            raise UserError(f"the query cannot be read from {rest[:40]!r} on")
        query = _with(query, found[1] or "change", found[2].strip('"{}'))
        rest = rest[found.end() :].lstrip()
    return query


def _with(query: Query, name: str, value: str) -> Query:
    match name:
        case "project":
            return dataclasses.replace(query, project=value)
        case "branch":
            return dataclasses.replace(query, branch=value.removeprefix("refs/heads/"))
        case "topic":
            return dataclasses.replace(query, topic=value)
        case "status" | "is" if value in _STATES:
            return dataclasses.replace(query, states=_STATES[value])
        case "change" if _NUMBER.fullmatch(value):
            return dataclasses.replace(query, number=int(value))
        case "change" if _KEY.fullmatch(value):
            return dataclasses.replace(query, key=value)
    raise UserError(
        f"this server does not understand {name}:{value}",
        hint="it answers what git-review asks: project:, branch:, topic:, status: (open, merged,"
        " abandoned, closed), and the number or Change-Id of a change",
    )


@router.get("/changes/", dependencies=[READER])
@router.get("/a/changes/", dependencies=[READER])
async def query_changes(
    cupel: Cupel,
    q: Annotated[str, fastapi.Query(max_length=1000)] = "status:open",
    o: Annotated[list[str] | None, fastapi.Query()] = None,
) -> Response:
    """Changes that fit the query, newest first, as Gerrit's REST API gives them."""
    try:
        query = parse(q)
        options = _options(o or [])
    except UserError as error:
        return PlainTextResponse(f"{error}\n{error.hint or ''}".rstrip() + "\n", 400)
    async with cupel.store.read() as tx:
        found = await _find(tx, query)
        answer = await _infos(tx, found, options, cupel.url)
    text = GUARD + json.dumps(answer, ensure_ascii=False) + "\n"
    return Response(
        text, media_type="application/json", headers={"Cache-Control": "private, no-cache"}
    )


def _options(given: Sequence[str]) -> frozenset[str]:
    unknown = set(given) - _REVISIONS
    if unknown:
        raise UserError(
            f"this server does not know the option {sorted(unknown)[0]}",
            hint=f"it has {', '.join(sorted(_REVISIONS))}",
        )
    return frozenset(given)


async def _find(tx: Transaction, query: Query) -> list[Change]:
    where: dict[str, object] = {
        name: value
        for name, value in (
            ("branch", query.branch),
            ("topic", query.topic),
            ("id", query.number),
            ("key", query.key),
        )
        if value is not None
    }
    if query.states:
        where["state"] = query.states
    if query.project is not None:
        named = await tx.select(Project, {"name": query.project.removesuffix(".git")})
        where["project_id"] = {row.id for row in named}
    return await tx.select(Change, where, descending=True, limit=LIMIT)


async def _infos(
    tx: Transaction, changes: Sequence[Change], options: frozenset[str], url: str
) -> list[dict[str, Any]]:
    projects = {row.id: row.name for row in await tx.select(Project)}
    patch_sets: dict[int, list[PatchSet]] = {change.id: [] for change in changes}
    if options:
        for row in await tx.select(PatchSet, {"change_id": set(patch_sets)}):
            patch_sets[row.change_id].append(row)
    return [
        _info(change, projects[change.project_id], patch_sets[change.id], options, url)
        for change in changes
    ]


def _info(
    change: Change,
    project: str,
    patch_sets: Sequence[PatchSet],
    options: frozenset[str],
    url: str,
) -> dict[str, Any]:
    """A `ChangeInfo`. What is not there is left out, as git-review expects it."""
    info: dict[str, Any] = {
        "_number": change.id,
        "change_id": change.key,
        "project": project,
        "branch": change.branch,
        "subject": change.title,
        "status": _STATUS[change.state],
    }
    if change.topic is not None:
        info["topic"] = change.topic
    for row in patch_sets:
        newest = row.number == change.patch_set
        if newest:
            info["current_revision"] = row.commit
        if newest or "ALL_REVISIONS" in options:
            info.setdefault("revisions", {})[row.commit] = _revision(row, project, url)
    return info


def _revision(row: PatchSet, project: str, url: str) -> dict[str, Any]:
    ref = repository.change_ref(row.change_id, row.number)
    return {
        "_number": row.number,
        "ref": ref,
        "fetch": {"http": {"url": views.git_url(url, project), "ref": ref}},
    }


@router.get("/tools/hooks/commit-msg")
async def commit_msg() -> Response:
    """The hook; it is the same for everybody, and no secret."""
    return Response(hook(), media_type="text/x-shellscript", headers={"Cache-Control": "no-cache"})


def hook() -> str:
    """The text of the commit-msg hook."""
    return (importlib.resources.files("cupel.api") / "commit-msg.sh").read_text("utf-8")
