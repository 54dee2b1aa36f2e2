"""Lays out what an image begins with: a suite by mmdebstrap, a tar, or an OCI image."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from cupel import process
from cupel.config.image import TarConfig
from cupel.errors import InfraError
from cupel.image import system, tree
from cupel.image.definition import Definition

TIMEOUT = 3600.0
_NOISE = re.compile("setup failed: |mmdebstrap failed|main\\(\\) received")
Tell = Callable[[str], None]

_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
_REGISTRIES = ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where skopeo finds the logins of `skopeo login`, and whom it trusts."""
# In a machine that is used once, root installs whatever it likes wherever it likes.
_PIP = "[global]\nbreak-system-packages = true\nroot-user-action = ignore\n"
_HOOKS = (
    f"printf '{_PIP}' > \"$1/etc/pip.conf\"".replace("\n", "\\n"),
    'mkdir -m 755 "$1/build"',
    'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
)
# All of mmdebstrap in its own pid and mount namespace, which ends with us: nothing of it stays
# behind, whatever happens.
_TIED = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--",
)  # fmt: skip


async def lay_out(definition: Definition, target: Path, scratch: Path, tell: Tell) -> None:
    """Make the directory `target` the base of an image; `tell` gets each line of progress."""
    config = definition.config
    if config.system is not None:
        await system.lay_out(config.system, target, tell)
    elif config.tar is not None:
        await _unpack_known(config.tar, target, tell)
    elif config.oci is not None:
        await _fetch(config.oci, target, scratch, tell)
    else:
        await _bootstrap(definition, target, scratch, tell)


async def unpack(tar: Path, target: Path) -> None:
    """Unpack a tar of a root filesystem as it is, but for /dev, which machines have their own of.

    GNU tar follows no link out of `target`.
    """
    target.mkdir(mode=0o755)
    await process.run(
        ["tar", "--extract", "--file", tar, "--directory", target, "--numeric-owner",
         "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--exclude=./dev/*",
         "--exclude=dev/*"],
        timeout=TIMEOUT,
    )  # fmt: skip


async def _unpack_known(known: TarConfig, target: Path, tell: Tell) -> None:
    tell(f"Unpacking {known.path}")
    try:
        found = await asyncio.to_thread(_sha256, Path(known.path))
    except OSError as error:
        raise InfraError(f"the tar {known.path} can't be read: {error.strerror}") from error
    if found != known.sha256:
        raise InfraError(
            f"{known.path} is another file than the image's definition says",
            hint=f"its SHA-256 is {found}, not {known.sha256}",
        )
    await unpack(Path(known.path), target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _fetch(name: str, target: Path, scratch: Path, tell: Tell) -> None:
    """Copy an OCI image here and apply its layers."""
    for program in ("skopeo", "umoci"):
        if shutil.which(program) is None:
            raise InfraError(
                f"{program} is needed for OCI images", hint=f"apt-get install {program}"
            )
    tell(f"Fetching {name}")
    layout, bundle = scratch / "oci", scratch / "bundle"
    env = _environment(scratch)
    # What may be used is for the definition to say, by digest if need be; not for a policy file.
    copy = ["skopeo", "--insecure-policy", "copy", name, f"oci:{layout}:image"]
    try:
        await process.run(copy, env=env, timeout=TIMEOUT, on_stderr=tell)
    except InfraError as error:
        raise _not_fetched(name, error) from error
    unpacked = ["umoci", "unpack", "--image", f"{layout}:image", str(bundle)]
    await process.run(unpacked, env=env, timeout=TIMEOUT, on_stderr=tell)
    (bundle / "rootfs").rename(target)


def _not_fetched(name: str, error: InfraError) -> InfraError:
    said = re.findall(r'msg="(.*)"', error.hint or "") or [error.hint or error.message]
    hint = None
    if "unauthorized" in said[-1] or "denied" in said[-1]:
        registry = name.removeprefix("docker://").partition("/")[0]
        hint = f"`skopeo login {registry}`, as the user that Cupel runs as"
    elif "server gave HTTP response" in said[-1]:
        hint = "name the registry as insecure in /etc/containers/registries.conf.d"
    return InfraError(f"image {name} can't be fetched: {said[-1]}", hint=hint)


async def _bootstrap(definition: Definition, target: Path, scratch: Path, tell: Tell) -> None:
    if shutil.which("mmdebstrap") is None:
        raise InfraError("mmdebstrap is needed to build images", hint="apt-get install mmdebstrap")
    sources = host_sources(definition.config.suite or "")
    tar = scratch / "rootfs.tar"
    try:
        await process.run(
            command(definition, tar, sources),
            env=_environment(scratch),
            timeout=TIMEOUT,
            on_stderr=tell,
        )
    except InfraError as error:
        why = _said(error.hint or error.message)
        raise InfraError(f"the base of {definition.text} can't be made: {why}") from error
    tell("Unpacking the base")
    await unpack(tar, target)
    tar.unlink()


def _said(text: str) -> str:
    """What apt says is wrong: the rest, of mmdebstrap, tells what it does after that."""
    lines = text.strip().splitlines()
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return "; ".join(
        [line for line in errors if not _NOISE.match(line)] or errors[:1] or lines[-1:]
    )


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
    names = [*_REGISTRIES, *_PROXIES, *(proxy.upper() for proxy in _PROXIES)]
    kept = {name: os.environ[name] for name in names if os.environ.get(name)}
    # A fixed time makes the tar file depend on the packages alone.
    fixed = {"SOURCE_DATE_EPOCH": str(tree.EPOCH), "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)}
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return {**kept, **fixed, "PATH": path}
