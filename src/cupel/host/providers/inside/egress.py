"""What a machine with some way out may reach, and the rules of nftables that hold it to that.

Pure. An address in a denied network is reached only where the operator's list has a network that
lies in the denied one: a wider one, of which it is a part, does not mean it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
)  # fmt: skip
"""Neighbours, the credentials of clouds, and what is nobody's (RFC 6890)."""

_LONGEST = 253
_BELOW = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")

Ports = Sequence[Sequence[int]]
"""First and last of each range."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names that machines may ask for, and the ports that are open at their addresses.

    `*.` and a name are all names below it. `trusted` ones may lead to denied networks, too.
    """

    names: list[str]
    ports: Ports
    trusted: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is open; all else is not. Plain values, so that it travels as JSON.

    `nft` is the program. `ranges` are IPv4 networks and what ports of them are open; `denied` are
    networks that nothing wider than themselves opens.
    """

    nft: str
    names: list[Names]
    ranges: list[tuple[str, Ports]]
    denied: list[str]


def decode(frame: dict[str, Any]) -> Policy:
    """A policy that has travelled as JSON."""
    return Policy(**{**frame, "names": [Names(**each) for each in frame["names"]]})


def rules(policy: Policy) -> str:
    """The rules, for a network namespace that has none yet."""
    sets = "".join(f"  set {set_name(n)} {{ type ipv4_addr; }}\n" for n in range(len(policy.names)))
    by_name = "".join(
        f"    ip daddr @{set_name(number)} {_ports(each.ports)} accept\n"
        for number, each in enumerate(policy.names)
    )
    by_range = "".join(
        f"    ip daddr {network}{_except(network, policy)} {_ports(ports)} accept\n"
        for network, ports in policy.ranges
    )
    return (
        f"table inet cupel {{\n{sets}"
        "  chain out {\n"
        "    type filter hook output priority 0; policy drop;\n"
        '    oifname { "lo", "cupel0" } accept\n'
        f"{by_name}{by_range}"
        # By a reset, which QEMU hands on to a guest; for the other errors a guest waits and waits.
        "    meta l4proto tcp reject with tcp reset\n"
        "    reject with icmpx type admin-prohibited\n"
        "  }\n}\n"
    )


def set_name(number: int) -> str:
    """What the set of the addresses of `Policy.names[number]` is called."""
    return f"names{number}"


def answering(policy: Policy, name: str) -> list[int]:
    """Which of `policy.names` a name in small letters is among."""
    return [
        number
        for number, each in enumerate(policy.names)
        if any(_is_meant(name, pattern) for pattern in each.names)
    ]


def opened(policy: Policy, number: int, addresses: Iterable[str]) -> list[str]:
    """The addresses of a name of `policy.names[number]` that are open to the machine."""
    trusted = policy.names[number].trusted
    return [each for each in addresses if trusted or not _is_denied(IPv4Address(each), policy)]


def still_denied(policy: Policy, networks: Iterable[str]) -> list[str]:
    """Those of the networks of which the list opens nothing."""
    ranges = [IPv4Network(text) for text, _ in policy.ranges]
    return [
        text
        for text in networks
        if not any(opened.subnet_of(IPv4Network(text)) for opened in ranges)
    ]


def _is_meant(name: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return name == pattern
    # A build may ask for anything; what is no name of a host is not asked of the host's resolver.
    below = name.removesuffix(pattern[1:])
    return below != name and len(name) <= _LONGEST and _BELOW.fullmatch(below) is not None


def _is_denied(address: IPv4Address, policy: Policy) -> bool:
    around = [network for text, _ in policy.ranges if address in (network := IPv4Network(text))]
    return any(
        address in denied and not any(network.subnet_of(denied) for network in around)
        for denied in map(IPv4Network, policy.denied)
    )


def _except(network: str, policy: Policy) -> str:
    """What of an open network stays closed."""
    whole = IPv4Network(network)
    inner = [each for each in map(IPv4Network, policy.denied) if each.subnet_of(whole)]
    closed = ipaddress.collapse_addresses(each for each in inner if not whole.subnet_of(each))
    text = ", ".join(map(str, closed))
    return f" ip daddr != {{ {text} }}" if text else ""


def _ports(ports: Ports) -> str:
    return f"tcp dport {{ {', '.join(_range(*each) for each in ports)} }}"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
