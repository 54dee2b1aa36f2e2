"""Mail to a real SMTP server in the test's own process."""

from __future__ import annotations

import email
import email.policy
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from hypothesis import given
from hypothesis import strategies as st

from cupel.report import letter, mail
from cupel.report.letter import Fact
from cupel.report.mail import Post, Text

FACT = Fact(
    key="msg_1",
    event="item.rejected",
    text="rejected in gate: build-failed",
    why="job tests failed: exit status 1",
    pipeline="gate",
    project="demo",
    branch="main",
    change=7,
    title="Fix the parser",
    patch_set=2,
    landed_commit=None,
    page="http://cupel/changes/7",
    errors=("test_empty: expected 0, got 1 (tests/test_parser.py:12)",),
    reports=(
        ("cupel/gate/tests", "failure", "failure: exit status 1"),
        ("cupel/gate/lint", "success", "success"),
        ("cupel/gate/publish", "skipped", "not run: needs tests"),
    ),
)


class Inbox:
    """Keeps what comes; `refusal` is said to recipients instead."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.logins: list[str] = []
        self.refusal: str | None = None

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        content = cast("bytes", envelope.content)
        self.messages.append(
            cast("EmailMessage", email.message_from_bytes(content, policy=email.policy.default))
        )
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


class OnFreePort(Controller):
    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def serve(inbox: Inbox, **settings: Any) -> Iterator[Post]:
    controller = OnFreePort(inbox, hostname="127.0.0.1", port=0, **settings)
    controller.start()
    try:
        yield Post(server="127.0.0.1", port=controller.port, security="none")
    finally:
        controller.stop()


@pytest.fixture
def post(inbox: Inbox) -> Iterator[Post]:
    yield from serve(inbox)


def letter_to(to: str = "ada@example.org", text: Text | None = None) -> EmailMessage:
    made = text or letter.write([FACT], url="http://cupel")
    return mail.compose(made, "cupel@example.org", to, 0.0)


def ticking() -> float:
    return 5.0


def test_a_mail_arrives_and_begins_with_the_error(inbox: Inbox, post: Post) -> None:
    assert mail.send(letter_to(), post, ticking).error is None
    (got,) = inbox.messages
    assert got["Subject"] == "[demo] #7 was rejected in gate: Fix the parser"
    assert got.get_content_type() == "text/plain"
    lines = got.get_content().splitlines()
    assert lines[0].strip() == FACT.errors[0]
    assert "Change 7, patch set 2, was rejected in gate." in lines
    assert "  cupel/gate/publish: not run: needs tests" in lines
    assert not any("cupel/gate/lint" in line for line in lines)


def test_mails_of_a_change_are_a_thread_of_its_list(inbox: Inbox, post: Post) -> None:
    landed = replace(FACT, event="change.landed", key="msg_2", landed_commit="a" * 40, errors=())
    for fact in (FACT, landed):
        mail.send(letter_to(text=letter.write([fact], url="u")), post, ticking)
    one, two = inbox.messages
    assert one["Message-ID"] != two["Message-ID"]
    assert one["References"] == two["References"] == "<change-7.demo@example.org>"
    assert one["List-Id"] == "<demo.cupel.example.org>"
    assert one["Auto-Submitted"] == "auto-generated"


def test_several_things_of_a_change_are_one_mail_about_the_last() -> None:
    landed = replace(FACT, event="change.landed", landed_commit="a" * 40, errors=(), why=None)
    text = letter.write([FACT, landed], url="u")
    assert text.subject == "[demo] #7 landed: Fix the parser"
    assert "Before that:\n  was rejected in gate" in text.body


def test_news_of_several_changes_are_a_list() -> None:
    facts = [replace(FACT, change=n, project="demo") for n in (1, 2, 3, 4)]
    text = letter.write(facts, url="u")
    assert text.subject == "[demo] news of 4 of your changes"
    assert [line for line in text.body.splitlines() if line.startswith("#")] == [
        f"#{n} was rejected in gate: Fix the parser" for n in (1, 2, 3, 4)
    ]
    assert text.thread is None


def test_what_people_write_forges_no_header(inbox: Inbox, post: Post) -> None:
    title = "Hi\r\nBcc: eve@example.org\r\n\r\nBody \u202e\x1b[31m"
    text = letter.write([replace(FACT, title=title, project="de\nmo")], url="u")
    assert mail.send(letter_to(text=text), post, ticking).error is None
    (got,) = inbox.messages
    assert got["Bcc"] is None
    assert "Bcc: eve@example.org" in str(got["Subject"])
    assert got.get_content().splitlines()[0].strip() == FACT.errors[0]


@given(st.text(max_size=300), st.text(max_size=40))
def test_any_title_makes_a_mail(title: str, project: str) -> None:
    clean = title.encode(errors="replace").decode()
    text = letter.write(
        [replace(FACT, title=clean, project=project.encode(errors="replace").decode())], url="u"
    )
    made = email.message_from_bytes(bytes(letter_to(text=text)), policy=email.policy.default)
    assert sorted(made.keys()) == sorted(letter_to().keys())


@pytest.mark.parametrize(
    ("author", "address"),
    [
        ("Ada <ada@example.org>", "ada@example.org"),
        ("Ada L <a.b+c@Sub.Example.org>", "a.b+c@Sub.Example.org"),
        ("ada@localhost", "ada@localhost"),
        ("Ada <>", None),
        ("Ada", None),
        ("Ada <ada@example.org\r\nBcc: eve@x>", None),
        ("Ada <ada@ex ample.org>", None),
        ("Ada <@example.org>", None),
        ("Ada <a..b@example.org>", None),
        ("Ada <ada@-example.org>", None),
        ('Ada <"a b"@example.org>', None),
        ("Ada <ada@[127.0.0.1]>", None),
        ("Ada <ädä@example.org>", None),
    ],
)
def test_only_an_address_is_an_address(author: str, address: str | None) -> None:
    assert mail.address_of(author, ()) == address


def test_mail_goes_to_the_domains_that_are_allowed() -> None:
    assert mail.address_of("a@Example.org", ("example.org",)) == "a@Example.org"
    assert mail.address_of("a@evil-example.org", ("example.org",)) is None
    assert mail.address_of("a@sub.example.org", ("example.org",)) is None


@pytest.mark.parametrize(
    ("refusal", "refused"), [("550 no such user", True), ("450 come again", False)]
)
def test_a_refusal_is_final_if_it_says_so(
    inbox: Inbox, post: Post, refusal: str, refused: bool
) -> None:
    inbox.refusal = refusal
    made = mail.send(letter_to(), post, ticking)
    assert (made.status, made.refused) == (int(refusal[:3]), refused)
    assert refusal[4:] in made.response


def test_nobody_there_is_tried_again(inbox: Inbox) -> None:
    made = mail.send(letter_to(), Post(server="127.0.0.1", port=1, security="none"), ticking)
    assert made.error
    assert not made.refused


def test_a_server_without_tls_gets_nothing_where_it_is_asked_for(inbox: Inbox, post: Post) -> None:
    made = mail.send(letter_to(), replace(post, security="starttls"), ticking)
    assert made.error
    assert inbox.messages == []


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate that this test's process takes for good."""
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", made,
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_login_goes_over_starttls(inbox: Inbox, certificate: ssl.SSLContext, password: str) -> None:
    settings = {"tls_context": certificate, "authenticator": inbox.login, "auth_required": True}
    for post in serve(inbox, **settings):
        login = replace(post, security="starttls", user="cupel", password=password)
        made = mail.send(letter_to(), login, ticking)
        assert set(inbox.logins) == {"cupel"}
        assert len(inbox.messages) == (1 if password == "right" else 0)
        assert made.error == (None if password == "right" else "login refused")
        assert not made.refused


def test_a_certificate_that_nobody_vouches_for_is_refused(
    inbox: Inbox, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    for post in serve(inbox, tls_context=certificate):
        made = mail.send(letter_to(), replace(post, security="starttls"), ticking)
        assert "certificate" in (made.error or "").lower()
    assert inbox.messages == []
