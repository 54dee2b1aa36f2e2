"""What a list of hosts and networks opens, and what stays closed in it."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config.egress import Allowed
from cupel.host.providers.inside import egress
from cupel.host.providers.inside.egress import Names, Policy
from cupel.host.providers.namespace import disk, network

HOST = "10.1.2.3/32"
NFT = shutil.which("nft", path=disk.TOOLS)


def policy(*ranges: str, trusted: bool = False) -> Policy:
    return Policy(
        nft="nft",
        names=[Names(names=["git.example"], ports=[(22, 22)], trusted=trusted)],
        ranges=[(each, [(80, 80), (8000, 8100)]) for each in ranges],
        denied=[*egress.PRIVATE, HOST],
    )


def is_open(made: Policy, address: str) -> bool:
    return egress.opened(made, 0, [address]) == [address]


def test_a_name_leads_to_private_addresses_only_within_networks_of_the_list() -> None:
    assert is_open(policy(), "192.0.2.7")
    assert not is_open(policy(), "10.9.9.9")
    assert not is_open(policy(), "169.254.169.254")
    assert is_open(policy("10.9.0.0/16"), "10.9.9.9")
    assert not is_open(policy("10.9.0.0/16"), "10.8.9.9")
    assert not is_open(policy("0.0.0.0/0"), "10.9.9.9")


def test_the_host_is_not_meant_by_a_network_around_it() -> None:
    assert not is_open(policy("10.1.2.0/24"), "10.1.2.3")
    assert is_open(policy("10.1.2.0/24"), "10.1.2.4")
    assert is_open(policy("10.1.2.3/32"), "10.1.2.3")


def test_registries_may_be_where_the_host_finds_them() -> None:
    assert is_open(policy(trusted=True), "10.9.9.9")


def test_routes_close_what_the_list_does_not_open() -> None:
    closed = ["169.254.0.0/16", HOST]
    assert egress.still_denied(policy("10.0.0.0/8"), closed) == closed
    assert egress.still_denied(policy("169.254.169.254/32", HOST), closed) == []


def test_rules_say_what_is_open_and_what_is_not() -> None:
    text = egress.rules(policy("10.0.0.0/8", "192.0.2.0/24"))
    assert "policy drop" in text
    assert "ip daddr @names0 tcp dport { 22 } accept" in text
    assert (
        "ip daddr 10.0.0.0/8 ip daddr != { 10.1.2.3/32 } tcp dport { 80, 8000-8100 } accept" in text
    )
    assert "ip daddr 192.0.2.0/24 tcp dport" in text
    assert "169.254.0.0/16" in egress.rules(policy("0.0.0.0/0"))


networks = st.builds(
    lambda address, bits: str(ipaddress.IPv4Network((address, bits), strict=False)),
    st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0x0A010203, 0xA9FEA9FE, 0xC0A80001])),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=4), st.sampled_from(["10.1.2.3", "10.1.2.4", "169.254.169.254"]))
def test_names_and_networks_are_closed_alike(ranges: list[str], address: str) -> None:
    """What a rule of a network accepts at an address is just what a name may lead to there."""
    made = policy(*ranges)
    accepted = any(
        ipaddress.ip_address(address) in ipaddress.ip_network(found[1])
        and not any(
            ipaddress.ip_address(address) in ipaddress.ip_network(each)
            for each in (found[2] or "").split(", ")
            if each
        )
        for found in re.finditer(
            r"ip daddr ([0-9./]+)(?: ip daddr != \{ ([^}]*) \})? tcp", egress.rules(made)
        )
    )
    assert is_open(made, address) == accepted


def test_a_policy_travels_as_json() -> None:
    made = policy("10.0.0.0/8")
    frame = json.loads(json.dumps(dataclasses.asdict(made)))
    assert egress.rules(egress.decode(frame)) == egress.rules(made)


@pytest.mark.skipif(NFT is None, reason="nft is not installed")
def test_a_list_becomes_a_policy_that_nft_accepts(tmp_path: Path) -> None:
    allow = (
        Allowed(host="git.example"),
        Allowed(host="*.cdn.example", ports=((22, 22),)),
        Allowed(host="0.0.0.0/0", ports=((5432, 5432),)),
    )
    made = network.policy("registries", allow, {}, tmp_path)
    assert made is not None
    assert [(each.trusted, each.ports) for each in made.names] == [
        (True, ((80, 80), (443, 443))),
        (False, ((80, 80), (443, 443))),
        (False, ((22, 22),)),
    ]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", str(NFT), "--check", "-f", "-"],
        input=egress.rules(made), text=True, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr:
        pytest.skip(f"no network namespace here: {done.stderr}")
    assert done.returncode == 0, done.stderr


def test_without_a_list_nothing_but_the_word_counts(tmp_path: Path) -> None:
    assert network.policy("full", (), {}, tmp_path) is None
    assert network.policy("none", (), {}, tmp_path) is None
