"""Builds a root file system by mmdebstrap, as a tar file."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.image.definition import Definition

TIMEOUT = 3600.0
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
# In a machine that is used once, root installs whatever it likes wherever it likes.
_PIP = "[global]\nbreak-system-packages = true\nroot-user-action = ignore\n"
_HOOKS = (
    f"printf '{_PIP}' > \"$1/etc/pip.conf\"".replace("\n", "\\n"),
    'mkdir -m 755 "$1/build"',
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/machine-id"',
    'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
)
# All of mmdebstrap in its own pid and mount namespace, which ends with us: nothing of it stays
# behind, whatever happens.
_TIED = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--",
)  # fmt: skip


async def build(
    definition: Definition, target: Path, scratch: Path, tell: Callable[[str], None]
) -> None:
    """Write the root file system to the tar file `target`; `tell` gets each line of progress."""
    if shutil.which("mmdebstrap") is None:
        raise InfraError("mmdebstrap is needed to build images", hint="apt-get install mmdebstrap")
    sources = host_sources(definition.config.suite or "")
    try:
        await process.run(
            command(definition, target, sources),
            env=_environment(scratch),
            timeout=TIMEOUT,
            on_stderr=tell,
        )
    except InfraError as error:
        raise InfraError(
            f"the image ({definition.text}) can't be built", hint=error.hint or error.message
        ) from error


def command(definition: Definition, target: Path, sources: Path | None) -> list[str]:
    """The whole command; without `sources` mmdebstrap uses its own default."""
    return [
        *_TIED,
        "mmdebstrap",
        "--mode=root",
        "--format=tar",
        "--variant=minbase",
        # Else apt's own user downloads, if it can reach the scratch directory: two outcomes.
        '--aptopt=APT::Sandbox::User "root"',
        f"--architectures={definition.architecture}",
        *(
            [f"--include={','.join(definition.config.packages)}"]
            if definition.config.packages
            else []
        ),
        *(f"--customize-hook={hook}" for hook in _HOOKS),
        definition.config.suite or "",
        str(target),
        *([str(sources)] if sources else []),
    ]


def host_sources(suite: str) -> Path | None:
    """The host's own apt sources, if it is a Debian of that suite."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    if release.get("ID") != "debian" or release.get("VERSION_CODENAME") != suite:
        return None
    return next((path for path in _SOURCES if path.is_file() and path.stat().st_size), None)


def architecture() -> str:
    """This computer's, by Debian's name."""
    machine = platform.machine()
    names = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "i686": "i386"}
    return names.get(machine, machine)


def _environment(scratch: Path) -> dict[str, str]:
    proxies = {
        name: value
        for proxy in _PROXIES
        for name in (proxy, proxy.upper())
        if (value := os.environ.get(name))
    }
    # A fixed time makes the tar file depend on the packages alone. Their own files keep theirs.
    fixed = {"SOURCE_DATE_EPOCH": "1577836800", "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)}
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return {**proxies, **fixed, "PATH": path}
