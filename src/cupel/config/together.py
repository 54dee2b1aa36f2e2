"""The machines of a job that has several, their services and links, as they are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cupel.config import quantity, scalar
from cupel.config.document import Scalar, Value
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Boolean, Quantity, Text
from cupel.config.shape import At, Field, Found, ListOf, MapOf, Placed, Record, Schema
from cupel.core.job import Link, Part, Service

MOST = 8
"""Machines of a job."""

OWN = "main"
"""What the machine of `machine` is called beside others."""

MAX_SCRIPT = 100_000

PART = Text(
    wanted="a name for a machine",
    pattern="(?!localhost$)[a-z][a-z0-9-]{0,31}",
    rule="a small letter, then at most 31 small letters, digits or “-”",
)
LABEL = Text(wanted="the label of a machine", limit=200)
NAME = Text(wanted="the name of a machine of the job", limit=64)
SCRIPT = Text(wanted="a shell script", limit=MAX_SCRIPT, multiline=True)

MACHINES = Field(
    key="machines",
    shape=MapOf(PART, At(LABEL), "names to labels of machines"),
    text="Further machines of the job, by name, with their labels. Without `machine`, the first is "
    "the job's own.",
)

SERVICE_MACHINE = Field(
    key="machine",
    shape=At(LABEL),
    text="The label of the service's machine.",
    required=True,
)
SERVICE_RUN = Field(
    key="run",
    shape=SCRIPT,
    text="The script that is the service and stays in the foreground; by default the image's own, "
    "`/etc/cupel/service`.",
)
HEALTH = Field(
    key="health",
    shape=SCRIPT,
    text="A script on the service's machine that passes once the service is healthy.",
)
PORTS = Field(
    key="ports",
    shape=ListOf(
        Quantity(wanted="a port", example="5432", parse=scalar.whole, low=1, high=65535), "ports"
    ),
    text="TCP ports that accept connections from the other machines once it is healthy.",
)
SERVICE_TIMEOUT = Field(
    key="timeout",
    shape=scalar.duration(1, 3600),
    text="How long it may take to become healthy; by default one minute.",
)
SERVICE_RECORD = Record(
    wanted="a label or a mapping",
    fields=(SERVICE_MACHINE, SERVICE_RUN, HEALTH, PORTS, SERVICE_TIMEOUT),
)


@dataclasses.dataclass(frozen=True, slots=True)
class PlacedService:
    """A service, the label of its machine and where that stands. Its name is the key before it."""

    service: Service
    label: Placed[str]


class ServiceShape:
    """A service: the label of a machine, or a mapping."""

    def read(self, value: Value, problems: Problems) -> PlacedService:
        if isinstance(value, Scalar):
            return PlacedService(Service(name=""), Placed(LABEL.read(value, problems), value.at))
        found = SERVICE_RECORD.read(value, problems)
        service = Service(
            name="",
            run=found.get(SERVICE_RUN, ""),
            health=found.get(HEALTH, ""),
            ports=tuple(int(port) for port in found.get(PORTS, ())),
            timeout=found.get(SERVICE_TIMEOUT, Service(name="").timeout),
        )
        return PlacedService(service, found.get(SERVICE_MACHINE, Placed("", found.at)))

    def schema(self) -> Schema:
        return {"anyOf": [LABEL.schema(), SERVICE_RECORD.schema()]}


SERVICES = Field(
    key="services",
    shape=MapOf(PART, ServiceShape(), "names to services"),
    text="What runs beside the steps, each on a machine of its own, by name: a label, or a mapping "
    "with the keys of a service.",
)

BETWEEN = Field(
    key="between",
    shape=ListOf(At(NAME), "names of machines"),
    text="The names of two machines of the job.",
    required=True,
)


def _amount(
    wanted: str,
    example: str,
    units: str,
    parse: Callable[[str], float | None],
    low: float,
    high: float,
) -> Quantity:
    """A number with perhaps one of some units, which a regular expression tells."""
    pattern = rf"^[0-9]+(\.[0-9]+)?({units})?$"
    return Quantity(
        wanted=wanted, example=example, parse=parse, low=low, high=high, pattern=pattern
    )


DELAY = Field(
    key="delay",
    shape=_amount(
        "a delay", "50ms or 1.5s", "us|ms|s", quantity.short_seconds, 0, quantity.LONGEST_DELAY
    ),
    text="How long each packet takes, in either direction; at most 10 s.",
)
LOSS = Field(
    key="loss",
    shape=_amount("a share", "30%", "%", quantity.share, 0, 1),
    text="How many packets are lost, as in `30%`.",
)
RATE = Field(
    key="rate",
    shape=_amount("a rate", "10mbit", "kbit|mbit|gbit", quantity.bits, 1000, quantity.FASTEST),
    text="How much goes through in a second in either direction, as in `10mbit`.",
)
DOWN = Field(key="down", shape=Boolean(), text="Whether nothing goes through at first.")
LINK_RECORD = Record(wanted="a link, which is a mapping", fields=(BETWEEN, DELAY, LOSS, RATE, DOWN))


class LinkShape:
    """A link between two machines."""

    def read(self, value: Value, problems: Problems) -> tuple[Link, tuple[Placed[str], ...]]:
        found = LINK_RECORD.read(value, problems)
        names = found.get(BETWEEN, ())
        if found.find(BETWEEN) is not None and len({name.value for name in names}) != 2:
            problems.add(found.mark(BETWEEN), "a link is between two machines", "name two of them")
        one, other = [*(name.value for name in names[:2]), "", ""][:2]
        link = Link(
            one=one,
            other=other,
            delay=found.get(DELAY, 0.0),
            loss=found.get(LOSS, 0.0),
            rate=found.find(RATE),
            cut=found.get(DOWN, False),
        )
        return link, names

    def schema(self) -> Schema:
        return LINK_RECORD.schema()


LINKS = Field(
    key="links",
    shape=ListOf(LinkShape(), "links"),
    text="What happens to packets between machines of the job; by default nothing. A step changes "
    "it with `cupel-link`.",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What a job says of its machines; `parts` is empty for a job with one. `at` are the places of
    the parts' labels."""

    parts: tuple[Part, ...] = ()
    at: tuple[Mark, ...] = ()
    services: tuple[Service, ...] = ()
    links: tuple[Link, ...] = ()


def read(found: Found, own: Placed[str] | None, problems: Problems) -> Together:
    """All machines of the job; `own` is the label that `machine` names, if it is there."""
    named = [(key, label) for key, label in found.get(MACHINES, ()) if label is not None]
    served = [(key, each) for key, each in found.get(SERVICES, ()) if each is not None]
    if own is None and not named:
        if not found.find(MACHINES) and not found.misspells(MACHINES):
            problems.add(found.at, 'the key "machine" is missing', "The label of its machine.")
        return Together()
    placed = [(OWN, own.at, own)] if own is not None else []
    placed += [(key.value, key.at, label) for key, label in named]
    placed += [(key.value, key.at, each.label) for key, each in served]
    _check_names([(name, at) for name, at, _ in placed], problems)
    links = found.get(LINKS, ())
    _check_links(links, {name for name, _, _ in placed}, problems)
    if len(placed) < 2:
        return Together() if own is not None else _alone(placed[0])
    return Together(
        parts=tuple(Part(name=name, label=label.value) for name, _, label in placed),
        at=tuple(label.at for _, _, label in placed),
        services=tuple(dataclasses.replace(each.service, name=key.value) for key, each in served),
        links=tuple(link for link, _ in links),
    )


def _alone(placed: tuple[str, Mark, Placed[str]]) -> Together:
    """A job whose `machines` are one: it has a name all the same."""
    name, _, label = placed
    return Together(parts=(Part(name=name, label=label.value),), at=(label.at,))


def _check_names(names: list[tuple[str, Mark]], problems: Problems) -> None:
    seen: set[str] = set()
    for name, at in names:
        if name in seen:
            hint = f"the machine of “machine” is called {OWN}" if name == OWN else None
            problems.add(at, f"two machines are called {show(name)}", hint)
        seen.add(name)
    if len(names) > MOST:
        problems.add(names[MOST][1], f"a job has at most {MOST} machines, its services among them")


def _check_links(
    links: tuple[tuple[Link, tuple[Placed[str], ...]], ...], known: set[str], problems: Problems
) -> None:
    seen: set[frozenset[str]] = set()
    for link, names in links:
        for name in names:
            check_name(name, known, problems)
        pair = frozenset((link.one, link.other))
        if pair in seen and names:
            problems.add(names[0].at, f"{link.one} and {link.other} have two links")
        seen.add(pair)


def check_name(name: Placed[str], known: set[str], problems: Problems) -> None:
    """Report a machine that the job does not have."""
    if name.value not in known:
        message = f"the job has no machine {show(name.value)}"
        problems.add_unknown(name.at, message, name.value, sorted(known), "machines of the job")
