import textwrap

import pytest

from cupel.config import notice as configuration
from cupel.config import server
from cupel.core import notice
from cupel.errors import ConfigError


def read(text: str) -> server.ServerConfig:
    return server.parse(textwrap.dedent(text))


def test_a_webhook_with_everything() -> None:
    config = read("""
        webhooks:
          chat:
            url: https://chat.example.org/hooks?room=1
            secret_file: chat.secret
            events: [item.rejected]
            projects: [demo, group/other]
    """)
    hook = config.webhooks["chat"]
    assert (hook.url, hook.secret_file) == ("https://chat.example.org/hooks?room=1", "chat.secret")
    assert hook.wish.wants("item.rejected", "group/other")
    assert not hook.wish.wants("item.passed", "demo")


def test_a_webhook_is_told_of_everything_by_default() -> None:
    config = read("webhooks: {chat: {url: 'http://[::1]:8000/', secret_file: s}}")
    assert config.webhooks["chat"].wish.events == tuple(notice.EVENTS)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("smtp.example.org", ("smtp.example.org", 587)),
        ("smtp.example.org:2525", ("smtp.example.org", 2525)),
        ("'[::1]'", ("::1", 587)),
        ("'[::1]:25'", ("::1", 25)),
    ],
)
def test_the_mail_server_has_a_port(text: str, place: tuple[str, int]) -> None:
    found = read(f"mail: {{server: {text}, from: cupel@example.org}}").mail
    assert found is not None
    assert (found.server, found.port) == place
    assert (found.security, found.wish.events) == ("starttls", configuration.MAIL_EVENTS)


@pytest.mark.parametrize(("security", "port"), [("tls", 465), ("none", 25), ("starttls", 587)])
def test_the_port_goes_by_the_security(security: str, port: int) -> None:
    found = read(f"mail: {{server: a, from: c@example.org, security: {security}}}").mail
    assert found is not None
    assert found.port == port


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webhooks: {chat: {url: https://a}}", "secret_file"),
        ("webhooks: {chat: {url: ftp://a/, secret_file: s}}", "is not an address"),
        ("webhooks: {chat: {url: 'https://u:p@a/', secret_file: s}}", "would be shown"),
        ("webhooks: {chat: {url: 'https://a:99999/', secret_file: s}}", "is not an address"),
        ("webhooks: {chat: {url: 'https://[a/', secret_file: s}}", "is not an address"),
        ("webhooks: {mail: {url: https://a, secret_file: s}}", "goes by mail"),
        ("webhooks: {chat: {url: https://a, secret_file: s, events: [landed]}}", "landed"),
        ("webhooks: {chat: {url: https://a, secret_file: s, events: []}}", "empty list"),
        ("mail: {server: a, from: 'Cupel <c@example.org>'}", "address of mail"),
        ("mail: {server: a, from: c@example.org, user: u}", "go together"),
        ("mail: {server: a:0, from: c@example.org}", "no such port"),
        (
            "mail: {server: a, from: c@example.org, user: u, password_file: p, security: none}",
            "for everybody",
        ),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)
