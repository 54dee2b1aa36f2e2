"""SARIF 2.1.0: what analysers say of lines (docs.oasis-open.org/sarif/sarif/v2.1.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cupel.core.results import Annotation, Level
from cupel.report.results import where
from cupel.report.results.source import Malformed, Source

LARGEST = 32 << 20
"""Bytes of a file: JSON is read as a whole, and takes many times as much memory."""

LAST_LINE = 10_000_000

_LEVELS = {"error": Level.ERROR, "warning": Level.WARNING, "note": Level.NOTICE}
_SAYS_NOTHING = frozenset({"pass", "notApplicable", "informational"})
_OLD = frozenset({"unchanged", "absent"})


def is_sarif(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and (b"sarif" in text or b'"runs"' in text)


def read(source: Source) -> Iterator[Annotation]:
    """What it says, in its order. Raises `Malformed`."""
    data = bytearray()
    for piece in source.pieces():
        data += piece
        if len(data) > LARGEST:
            raise Malformed(f"it has more than {LARGEST >> 20} MiB")
    try:
        document = json.loads(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON, or nested too deeply") from None
    for run in _list(_dict(document).get("runs")):
        yield from _run(_dict(run))


def _run(run: Mapping[str, Any]) -> Iterator[Annotation]:
    driver = _dict(_dict(run.get("tool")).get("driver"))
    tool = _text(driver.get("name"))
    rules = [_dict(rule) for rule in _list(driver.get("rules"))]
    by_id = {_text(rule.get("id")): rule for rule in rules}
    bases = {
        name: _text(_dict(base).get("uri"))
        for name, base in _dict(run.get("originalUriBaseIds")).items()
    }
    for each in _list(run.get("results")):
        result = _dict(each)
        if _is_told(result):
            number = result.get("ruleIndex")
            rule = by_id.get(_text(result.get("ruleId")), {})
            if isinstance(number, int) and 0 <= number < len(rules):
                rule = rules[number]
            yield _annotation(result, rule, bases, tool)


def _is_told(result: Mapping[str, Any]) -> bool:
    """Whether it is a finding, that nobody has set aside and that was not there before."""
    kind, baseline = _text(result.get("kind")), _text(result.get("baselineState"))
    set_aside = _list(result.get("suppressions"))
    return (
        kind not in _SAYS_NOTHING
        and baseline not in _OLD
        and not any(_dict(s).get("status", "accepted") == "accepted" for s in set_aside)
        and result.get("level") != "none"
    )


def _annotation(
    result: Mapping[str, Any], rule: Mapping[str, Any], bases: Mapping[str, str], tool: str
) -> Annotation:
    place = _dict(next(iter(_list(result.get("locations"))), None))
    physical = _dict(place.get("physicalLocation"))
    artefact, region = _dict(physical.get("artifactLocation")), _dict(physical.get("region"))
    path = where.uri(_text(artefact.get("uri")), bases.get(_text(artefact.get("uriBaseId")), ""))
    default = _text(_dict(rule.get("defaultConfiguration")).get("level"))
    level = _LEVELS.get(_text(result.get("level")) or default, Level.WARNING)
    line = _number(region.get("startLine")) if path is not None else None
    return Annotation(
        path=path,
        line=line,
        end_line=_number(region.get("endLine")) if line is not None else None,
        column=_number(region.get("startColumn")) if line is not None else None,
        level=level,
        title=_text(result.get("ruleId")) or _text(rule.get("id")),
        message=_message(_dict(result.get("message")), rule),
        tool=tool,
    )


def _message(message: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    text = _text(message.get("text")) or _text(message.get("markdown"))
    if not text:
        strings = _dict(rule.get("messageStrings"))
        text = _text(_dict(strings.get(_text(message.get("id")))).get("text"))
    if not text:
        text = _text(_dict(rule.get("shortDescription")).get("text"))
    for number, argument in enumerate(_list(message.get("arguments"))[:20]):
        text = text.replace(f"{{{number}}}", _text(argument)[:1000])[:10_000]
    return text


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LAST_LINE:
        return value
    return None
