"""What `cupel-link` in a machine asks of the links between the machines of its build."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from cupel.config import quantity
from cupel.errors import UserError
from cupel.host.messages import LinkSpec

USAGE = (
    "usage: cupel-link MACHINE MACHINE [--delay 50ms] [--loss 30%] [--rate 10mbit] "
    "[--down | --up | --clear]"
)


def changed(
    words: Sequence[str], names: Collection[str], links: Mapping[frozenset[str], LinkSpec]
) -> LinkSpec:
    """The link as it is to be; what is not mentioned stays. Raises `UserError` for nonsense."""
    if len(words) < 3:
        raise UserError(USAGE)
    one, other, *options = words
    for name in (one, other):
        if name not in names:
            raise UserError(f"no machine {name!r} in this job; there are: {', '.join(names)}")
    if one == other:
        raise UserError(f"{one!r} has no link to itself")
    link = links.get(frozenset((one, other)), LinkSpec(one=one, other=other))
    while options:
        link = _with(link, options)
    return link


def _with(link: LinkSpec, options: list[str]) -> LinkSpec:
    """The link with the first of the options, which is taken."""
    option = options.pop(0)
    match option:
        case "--down" | "--up":
            return dataclasses.replace(link, cut=option == "--down")
        case "--clear":
            return LinkSpec(one=link.one, other=link.other)
        case "--delay" if options:
            delay = _read(option, options.pop(0), quantity.short_seconds, quantity.LONGEST_DELAY)
            return dataclasses.replace(link, delay=delay)
        case "--loss" if options:
            return dataclasses.replace(link, loss=_read(option, options.pop(0), quantity.share, 1))
        case "--rate" if options:
            rate = _read(option, options.pop(0), quantity.bits, quantity.FASTEST)
            return dataclasses.replace(link, rate=rate or None)
        case _:
            raise UserError(f"{option!r} is not understood; {USAGE}")


def _read(option: str, text: str, parse: Callable[[str], float | None], most: float) -> float:
    value = parse(text)
    if value is None or value > most:
        raise UserError(f"{option} can't be {text!r}; {USAGE}")
    return value
