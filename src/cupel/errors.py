"""The errors of Cupel, split by whose fault they are. Each says what was wrong and what to do."""

from __future__ import annotations


class CupelError(Exception):
    """What went wrong (`message`) and what to do about it (`hint`).

    `exit_code` is what the command line ends with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UserError(CupelError):
    """The user's to mend: bad input, bad configuration, a refused request."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration that cannot be used; `where` is `file:line:column`."""

    def __init__(self, message: str, *, where: str, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}", hint=hint)
        self.where = where


class NotFound(UserError):
    """What was asked for does not exist."""


class Conflict(UserError):
    """The request does not fit the present state, such as approving a landed change."""


class Forbidden(UserError):
    """The caller may not do that."""


class InfraError(CupelError):
    """The infrastructure's fault: a disk, a network, a tool, a host. Trying again may help."""

    exit_code = 3


class Bug(CupelError):
    """Cupel's own fault: something that should be impossible happened."""

    exit_code = 4
