"""The `network` of a label: a word, or the hosts and ranges that its machines may reach."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from cupel.config.document import Scalar, Value
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Boolean, Choice, Text
from cupel.config.shape import Field, ListOf, Record, Refused, Schema

NETWORKS = ("none", "registries", "full")
ALLOWED = "allowed"
"""What `network` is called inside where a list stands alone, without the registries."""

Ports = tuple[tuple[int, int], ...]
WEB: Ports = ((80, 80), (443, 443))
"""The ports of HTTP and HTTPS, first and last of each range."""

_NEVER = tuple(
    ipaddress.IPv4Network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "198.18.0.0/15", "224.0.0.0/3")
)
"""The machine itself, what its way out is made of, and what is nobody's address."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?")
_RULE = (
    "write git.example.org, git.example.org:22, “*.example.org”, 10.20.0.0/16 or 10.20.0.7:5432; "
    "ports may be a range, as in :8000-8100"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Where a machine may go by TCP. Plain values: it travels to hosts.

    `host` is a name in small letters, `*.` and a name for all below it, or an IPv4 network. `ports`
    are ranges, first and last.
    """

    host: str
    ports: Ports = WEB

    @property
    def is_name(self) -> bool:
        return "/" not in self.host


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`reaches` is a word of `NETWORKS`, or `ALLOWED`; `allow` is what is reached besides."""

    reaches: str
    allow: tuple[Allowed, ...] = ()


class AllowedShape:
    """Reads a name or an IPv4 network, perhaps with a port or a range of them."""

    _text = Text(wanted="a host or a network", rule=_RULE, limit=300)

    def read(self, value: Value, problems: Problems) -> Allowed:
        text = self._text.read(value, problems)
        if re.match("[a-z]+://", text):
            raise Refused(value.at, f"{show(text)} is a URL", "write its host alone, with its port")
        if text.count(":") > 1:
            raise Refused(
                value.at, f"{show(text)} is no host or IPv4 network", "machines have no IPv6"
            )
        host, colon, ports = text.partition(":")
        if re.fullmatch("[0-9./]+", host):
            host = str(_network(host, text, value.at))
        elif not _NAME.fullmatch(host) or len(host) > 253:
            raise Refused(value.at, f"{show(text)} is no host or IPv4 network", _RULE)
        host = host.lower().rstrip(".")
        return Allowed(host=host, ports=_ports(ports, text, value.at) if colon else WEB)

    def schema(self) -> Schema:
        return self._text.schema()


def _network(text: str, whole: str, at: Mark) -> ipaddress.IPv4Network:
    try:
        loose = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise Refused(at, f"{show(whole)} is no host or IPv4 network", _RULE) from None
    if text.partition("/")[0] != str(loose.network_address):
        raise Refused(at, f"{show(whole)} is not where a network begins", f"that is {loose}")
    if any(loose.subnet_of(never) for never in _NEVER):
        raise Refused(at, f"no machine can reach {loose}", "remove it")
    return loose


def _ports(text: str, whole: str, at: Mark) -> Ports:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65_535:
        raise Refused(at, f"{show(whole)} has no such port", "1 to 65535, or a range of them")
    return ((first, last),)


ALLOW = Field(
    key="allow",
    shape=ListOf(
        AllowedShape(),
        "hosts and networks",
        least=1,
        empty_hint="write `network: registries` or `network: none`",
    ),
    text="What machines of the label may reach by TCP: names such as `git.example.org`, "
    '`"*.example.org"` for all below one, IPv4 networks such as `10.20.0.0/16`; each perhaps with '
    "a port or a range of them, as in `git.example.org:22`, else 80 and 443. Names lead to private "
    "addresses only within networks of the list.",
    required=True,
)
REGISTRIES = Field(
    key="registries",
    shape=Boolean(),
    text="Whether they reach the registries of packages besides, as with `network: registries`; "
    "they do by default.",
)
RECORD = Record(wanted="none, registries, full or a mapping", fields=(ALLOW, REGISTRIES))


class NetworkShape:
    """Reads one of the words, or a mapping with what is allowed."""

    _word = Choice(words=NETWORKS)

    def read(self, value: Value, problems: Problems) -> Network:
        if isinstance(value, Scalar):
            return Network(reaches=self._word.read(value, problems))
        found = RECORD.read(value, problems)
        reaches = "registries" if found.get(REGISTRIES, True) else ALLOWED
        return Network(reaches=reaches, allow=found.get(ALLOW, ()))

    def schema(self) -> Schema:
        return {"anyOf": [self._word.schema(), RECORD.schema()]}


NETWORK = Field(
    key="network",
    shape=NetworkShape(),
    text="`none` (the default): the machine is alone; `registries`: it reaches registries of "
    "packages by name, and nothing else; a mapping: it reaches what that allows, and nothing else; "
    "`full`: it has a route out.",
)
