"""The `network` of a label: words, lists, and what is wrong with them."""

from __future__ import annotations

import pytest

from cupel.config import server
from cupel.config.egress import ALLOWED, WEB, Allowed
from cupel.config.problem import ConfigErrors
from cupel.config.server import LabelConfig


def label(network: str) -> LabelConfig:
    return server.parse(f"labels:\n  a:\n    network: {network}\n").labels["a"]


def refusal(network: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        label(network)
    return str(caught.value)


def test_hosts_and_networks_are_reached_besides_the_registries() -> None:
    read = label(
        '{allow: [Git.Example.org., "*.example.org:22", 10.20.0.0/16:8000-8100, 192.0.2.7]}'
    )
    assert read.network == "registries"
    assert read.allow == (
        Allowed(host="git.example.org", ports=WEB),
        Allowed(host="*.example.org", ports=((22, 22),)),
        Allowed(host="10.20.0.0/16", ports=((8000, 8100),)),
        Allowed(host="192.0.2.7/32", ports=WEB),
    )


def test_they_may_be_all_that_is_reached() -> None:
    assert label("{registries: false, allow: [a.example]}").network == ALLOWED


@pytest.mark.parametrize("word", ["none", "registries", "full"])
def test_a_word_is_enough(word: str) -> None:
    assert (label(word).network, label(word).allow) == (word, ())


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("https://a.example/x", '"https://a.example/x" is a URL'),
        ("'2001:db8::/32'", "machines have no IPv6"),
        ("a_b.example", '"a_b.example" is no host or IPv4 network'),
        ("10.1.2.3/8", "that is 10.0.0.0/8"),
        ("10.1.2.300", '"10.1.2.300" is no host or IPv4 network'),
        ("10.0.0.0/40", '"10.0.0.0/40" is no host or IPv4 network'),
        ("127.0.0.1:80", "no machine can reach 127.0.0.1/32"),
        ("a.example:0", '"a.example:0" has no such port'),
        ("a.example:70000", '"a.example:70000" has no such port'),
        ("a.example:90-80", '"a.example:90-80" has no such port'),
        ("'a.example:'", '"a.example:" has no such port'),
        ("{a: b}", "expected a host or a network, found a mapping"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(entry: str, wrong: str) -> None:
    said = refusal(f"{{allow: [x.example, {entry}]}}")
    assert said.startswith("cupel.yaml:3:34: ")
    assert wrong in said


@pytest.mark.parametrize(
    ("network", "place", "wrong"),
    [
        ("internet", "3:14", 'expected none or registries or full, found "internet"'),
        ("{allow: []}", "3:22", "write `network: registries` or `network: none`"),
        ("{registries: false}", "3:14", 'the key "allow" is missing'),
        ("{allow: [a], alow: [b]}", "3:27", 'unknown key "alow"'),
        ("[a]", "3:14", "expected none, registries, full or a mapping"),
        ("{allow: [*.a]}", "3:24", "quote"),
    ],
)
def test_a_wrong_whole_is_told_too(network: str, place: str, wrong: str) -> None:
    said = refusal(network)
    assert said.startswith(f"cupel.yaml:{place}: ")
    assert wrong in said
