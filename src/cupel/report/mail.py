"""Writing and sending mail: plain text, one thread for each change, by SMTP.

Whatever stands in a header came from people who push; it is made one harmless line.
"""

from __future__ import annotations

import dataclasses
import email.policy
import email.utils
import re
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage

from cupel.core.notice import Attempt

TIMEOUT = 20.0
"""Seconds that a mail server may be silent."""

LONGEST_SUBJECT = 150
LONGEST_RESPONSE = 4096

_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_BRACKETED = re.compile(r"<([^<>]*)>\Z")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """The mail server, and how to log in there."""

    server: str
    port: int
    security: str
    user: str | None = None
    password: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a mail says. `key` names it among all, `list_name` is its project, if it has one.

    `thread` is what it is about, the same for all mails about it; None: several things.
    """

    subject: str
    body: str
    key: str
    thread: str | None
    list_name: str | None


def address_of(author: str, domains: Sequence[str]) -> str | None:
    """The address in `Name <mail>`, if mail may go there; None if it is none, or of no domain."""
    # Not by the rules of mail: their parsers repair what is broken, into somebody else's address.
    found = _BRACKETED.search(author)
    mail = author if found is None else found[1]
    local, at, domain = mail.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return None
    if ".." in local or local.startswith(".") or local.endswith("."):
        return None
    if domains and domain.lower() not in domains:
        return None
    return mail


def compose(text: Text, sender: str, to: str, now: float) -> EmailMessage:
    """The mail. Its Message-ID comes from its key, so that one sent twice is seen to be one."""
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = _mailbox("Cupel", sender)
    message["To"] = _mailbox("", to)
    message["Subject"] = line(text.subject)[:LONGEST_SUBJECT]
    message["Date"] = email.utils.formatdate(now)
    message["Message-ID"] = f"<{_word(text.key)}@{domain}>"
    if text.thread is not None:
        first = f"<{_word(text.thread)}@{domain}>"
        message["In-Reply-To"] = first
        message["References"] = first
    if text.list_name is not None:
        message["List-Id"] = f"<{_word(text.list_name)}.cupel.{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.body)
    return message


def line(text: str) -> str:
    """The text on one line, without what hides or reorders."""
    return " ".join(_HIDDEN.sub(" ", text).split())


def send(message: EmailMessage, post: Post, clock: Callable[[], float]) -> Attempt:
    """Send once; how it went, whatever the mail server does. Blocks: call it in a thread."""
    began = clock()
    status: int | None = None
    error: str | None = None
    response = b""
    refused = False
    try:
        with _connected(post) as smtp:
            if post.user is not None and post.password is not None:
                smtp.login(post.user, post.password)
            smtp.send_message(message)
            status = 250
    except smtplib.SMTPRecipientsRefused as problem:
        status, response = next(iter(problem.recipients.values()))
        error, refused = "the recipient was refused", 500 <= status < 600
    except smtplib.SMTPAuthenticationError as problem:
        # The configuration's fault, not the mail's: it may be right tomorrow.
        status, response, error = problem.smtp_code, _bytes(problem.smtp_error), "login refused"
    except smtplib.SMTPResponseException as problem:
        status, response = problem.smtp_code, _bytes(problem.smtp_error)
        error, refused = f"status {status}", 500 <= status < 600
    except (smtplib.SMTPException, OSError, ssl.SSLError, UnicodeError) as problem:
        error = str(problem) or type(problem).__name__
    return Attempt(
        at=began,
        seconds=max(0.0, clock() - began),
        status=status,
        error=error,
        response=response[:LONGEST_RESPONSE].decode(errors="replace"),
        refused=refused,
    )


def _connected(post: Post) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if post.security == "tls":
        return smtplib.SMTP_SSL(post.server, post.port, timeout=TIMEOUT, context=context)
    smtp = smtplib.SMTP(post.server, post.port, timeout=TIMEOUT)
    if post.security == "starttls":
        try:
            smtp.starttls(context=context)  # refuses a server that does not offer it
        except BaseException:
            smtp.close()
            raise
    return smtp


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _mailbox(name: str, address: str) -> Address | str:
    try:
        return Address(display_name=name, addr_spec=address)
    except (HeaderParseError, ValueError):
        return line(address)


def _word(text: str) -> str:
    """A text as part of an identifier in a header."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-") or "cupel"
