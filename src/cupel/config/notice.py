"""Who is told what happens: `webhooks` and `mail` in the server's configuration.

They stand there and nowhere else: who may name an address that the server speaks to is whoever runs
it. A project could point it at anything in the server's own network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlsplit

from cupel.config import scalar
from cupel.config.document import Value
from cupel.config.problem import Problems, show
from cupel.config.scalar import Choice, Text
from cupel.config.shape import At, Field, Found, ListOf, MapOf, Placed, Record, Refused, Schema
from cupel.core import notice
from cupel.core.notice import Wish

SECURITIES = ("starttls", "tls", "none")

MAIL_EVENTS = ("item.rejected", "change.landed", "hold.ending")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """A webhook; `secret_file` is relative to the state directory, unless it is absolute."""

    url: str
    secret_file: str
    wish: Wish


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MailConfig:
    """How mail goes out: `security` is one of `SECURITIES`, `domains` (none: any) whom it reaches.

    What happens within `gather` seconds to one person goes in one mail.
    """

    server: str
    port: int
    security: str
    sender: str
    user: str | None
    password_file: str | None
    domains: tuple[str, ...]
    gather: float
    wish: Wish


class UrlShape:
    """Reads the address of a webhook."""

    _text = Text(
        wanted="an address",
        pattern=r"https?://[^\s#]+",
        rule="write it as in https://chat.example.org/hooks/cupel",
        limit=2000,
    )

    def read(self, value: Value, problems: Problems) -> str:
        text = self._text.read(value, problems)
        try:
            parts = urlsplit(text)
            usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise Refused(value.at, f"{show(text)} is not an address", self._text.rule)
        if parts.username is not None:
            raise Refused(
                value.at,
                "a name or password in an address would be shown with it",
                "the receiver knows us by the signature; put nothing before the name of the host",
            )
        return text

    def schema(self) -> Schema:
        return self._text.schema()


_EVENT = Choice(words=tuple(notice.EVENTS))
_PROJECT = Text(wanted="the name of a project")
_FILE = Text(wanted="the path of a file", limit=1000)

EVENTS = Field(
    key="events",
    shape=ListOf(_EVENT, "events", least=1, empty_hint="remove the key for the default ones"),
    text="Which events it is told of; all by default.",
)
PROJECTS = Field(
    key="projects",
    shape=ListOf(_PROJECT, "projects", least=1, empty_hint="remove the key for all projects"),
    text="Only what concerns these projects; all by default.",
)
URL = Field(
    key="url",
    shape=UrlShape(),
    text="Where to send what happens, by POST; redirects are not followed.",
    required=True,
)
SECRET = Field(
    key="secret_file",
    shape=_FILE,
    text="The file with the secret that signs, relative to the state directory: `whsec_` and "
    "base64, or any text of at least 16 bytes. It is read whenever something is sent.",
    required=True,
)


class WebhookShape:
    """Reads a webhook."""

    record = Record(
        wanted="a mapping that describes a webhook", fields=(URL, SECRET, EVENTS, PROJECTS)
    )

    def read(self, value: Value, problems: Problems) -> WebhookConfig | None:
        found = self.record.read(value, problems)
        url, secret = found.find(URL), found.find(SECRET)
        if url is None or secret is None:
            return None
        return WebhookConfig(url=url, secret_file=secret, wish=_wish(found, tuple(notice.EVENTS)))

    def schema(self) -> Schema:
        return self.record.schema()


WEBHOOKS = Field(
    key="webhooks",
    shape=MapOf(
        Text(
            wanted="the name of a webhook",
            pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
            rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
        ),
        WebhookShape(),
        "names to webhooks",
    ),
    text="Programs elsewhere that are told what happens, each by a name of your choice.",
)

SERVER = Field(
    key="server",
    shape=At(
        Text(
            wanted="a mail server",
            pattern=r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?",
            rule="write it as in smtp.example.org or smtp.example.org:587",
        )
    ),
    text="The mail server that takes our mail, perhaps with a port; by default 587, or 465 with "
    "`security: tls`, or 25 with `none`.",
    required=True,
)
SECURITY = Field(
    key="security",
    shape=Choice(words=SECURITIES),
    text="`starttls` (the default), `tls` from the first byte on, or `none`. The server's "
    "certificate has to be good.",
)
FROM = Field(
    key="from",
    shape=Text(
        wanted="an address of mail",
        pattern=r"[^\s<>@\",;:\\()\[\]]+@[A-Za-z0-9.-]+",
        rule="such as cupel@example.org",
    ),
    text="Who the mail is from.",
    required=True,
)
USER = Field(
    key="user",
    shape=At(Text(wanted="a name")),
    text="Who to log in as, where the mail server asks for it; needs `password_file` and TLS.",
)
PASSWORD = Field(
    key="password_file",
    shape=_FILE,
    text="The file with the password, relative to the state directory.",
)
DOMAINS = Field(
    key="domains",
    shape=ListOf(
        Text(wanted="a domain", pattern=r"[A-Za-z0-9.-]+", rule="such as example.org"),
        "domains",
        least=1,
        empty_hint="remove the key for all domains",
    ),
    text="Mail goes to addresses of these domains alone; to all by default. Whoever may push may "
    "name any address as a commit's author, so say it unless you trust them all.",
)
MAIL_WISH = dataclasses.replace(
    EVENTS,
    text="Which events the author of a change is told of; by default "
    + ", ".join(f"`{name}`" for name in MAIL_EVENTS)
    + ". Of holds only those who asked for them are told.",
)
GATHER = Field(
    key="gather",
    shape=scalar.duration(0, 86_400),
    text="What happens within so long goes in one mail, such as `30s` (the default).",
)

MAIL_RECORD = Record(
    wanted="a mapping that describes how mail goes out",
    fields=(SERVER, SECURITY, FROM, USER, PASSWORD, MAIL_WISH, PROJECTS, DOMAINS, GATHER),
)


class MailShape:
    """Reads how mail goes out."""

    def read(self, value: Value, problems: Problems) -> MailConfig | None:
        found = MAIL_RECORD.read(value, problems)
        server, sender = found.find(SERVER), found.find(FROM)
        if server is None or sender is None:
            return None
        security = found.get(SECURITY, "starttls")
        user, password = found.find(USER), found.find(PASSWORD)
        _check_login(user, password, security, found)
        name, port = _place(server, security)
        return MailConfig(
            server=name,
            port=port,
            security=security,
            sender=sender,
            user=None if user is None else user.value,
            password_file=password,
            domains=tuple(each.lower() for each in found.get(DOMAINS, ())),
            gather=found.get(GATHER, 30.0),
            wish=_wish(found, MAIL_EVENTS),
        )

    def schema(self) -> Schema:
        return MAIL_RECORD.schema()


MAIL = Field(
    key="mail", shape=MailShape(), text="Tell authors by mail what became of their changes."
)


def _check_login(
    user: Placed[str] | None, password: str | None, security: str, found: Found
) -> None:
    if (user is None) != (password is None):
        raise Refused(found.at, "`user` and `password_file` go together", "give both, or neither")
    if user is not None and security == "none":
        raise Refused(
            user.at,
            "a password would be sent for everybody on the way to read",
            "use `security: starttls` or `tls`",
        )


def _place(server: Placed[str], security: str) -> tuple[str, int]:
    name, colon, port = server.value.rpartition(":")
    if not colon or server.value.endswith("]"):
        name, port = server.value, str({"tls": 465, "none": 25}.get(security, 587))
    if not 0 < int(port) <= 65_535:
        raise Refused(server.at, f"{show(server.value)} has no such port", "1 to 65535 is possible")
    return name.strip("[]"), int(port)


def _wish(found: Found, default: tuple[str, ...]) -> Wish:
    return Wish(events=found.get(EVENTS, default), projects=found.get(PROJECTS, ()))


def webhooks(found: Found, problems: Problems) -> Mapping[str, WebhookConfig]:
    """The webhooks by name."""
    read = found.find(WEBHOOKS) or ()
    for name, _ in read:
        if name.value == notice.MAIL:
            problems.add(
                name.at, f"{notice.MAIL} is the name of what goes by mail", "choose another"
            )
    return {name.value: hook for name, hook in read if hook is not None}
