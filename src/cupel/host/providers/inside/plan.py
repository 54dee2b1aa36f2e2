"""What the agent tells a machine's process: first what to lay out, then whose it is."""

from __future__ import annotations

import dataclasses
from typing import Any

from cupel.host.providers.inside import egress
from cupel.host.providers.inside.egress import Policy

UIDS = 65536
"""How many user and group ids a machine has."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What a machine is made of before it is anybody's. Plain values, so that it travels as JSON.

    `base` is the host's id of the machine's uid and gid 0. `disk_template` is an empty ext4 file
    system to copy; without it the machine's files stay in memory. Sizes are in bytes.
    """

    base: int
    ids: list[tuple[int, int, int]]
    """The map of user and group ids: the first inside, the first outside, how many."""
    rootless: bool
    """Whether the launcher's root is one of a user namespace only, which can't map mounts."""
    image: str
    directory: str
    """Where it mounts, in a mount namespace of its own: all shells may use the same."""
    disk_template: str | None
    disk_size: int
    init_groups: list[str]
    """Where the machine's own processes join its control groups."""
    build_groups: list[str]
    """Where builds join theirs."""
    keep_core_limit: bool
    """Whether builds may not change RLIMIT_CORE: the host hands cores to a program of its own."""

    @property
    def has_many_ids(self) -> bool:
        """Whether there is any id inside but that of root."""
        return sum(count for _, _, count in self.ids) > 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What makes a shell one particular machine. Plain values, so that it travels as JSON.

    `files` are texts to write below the root, `copies` maps paths below the root to files of the
    host. `binds` are pairs of a host's directory and the path where it is shown. Sizes: bytes.
    """

    name: str
    shared_memory: int
    files: dict[str, str]
    copies: dict[str, str]
    binds: list[tuple[str, str]]
    network: list[str]
    """The command of the user-space network, to which its last words are added; empty: none."""
    egress: Policy | None
    """What of that network it may reach; None: all of it."""
    unreachable: list[str]
    """IPv4 networks that the machine must not reach, as `address/bits`."""


def encode(plan: Plan) -> dict[str, Any]:
    return dataclasses.asdict(plan)


def decode(frame: dict[str, Any]) -> Plan:
    """A plan that has travelled as JSON."""
    policy = frame["egress"]
    return Plan(**{**frame, "egress": None if policy is None else egress.decode(policy)})
