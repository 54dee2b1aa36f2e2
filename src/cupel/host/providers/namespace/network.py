"""What a machine whose label grants a network gets: a way out and, of the host, what that needs.

The way out is a user-space network: it alters nothing of the host's own and ends with the machine.
It refuses the host's loopback; the host's own addresses and the link-local network, where clouds
keep their credentials, are made unreachable inside.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import shutil
import socket
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel.config.egress import WEB, Allowed, Ports
from cupel.errors import InfraError
from cupel.host.providers.inside import egress, resolver
from cupel.host.providers.inside.egress import Names, Policy
from cupel.host.providers.namespace import disk

# Our own /24 of the range set aside for benchmarks, which no office network uses.
CIDR = "198.18.0.0/24"
RESOLVER = "198.18.0.3"
LINK_LOCAL = "169.254.0.0/16"
COMMAND = (
    "--configure",
    "--mtu=65520",
    f"--cidr={CIDR}",
    "--disable-host-loopback",
    "--enable-sandbox",
    "--enable-seccomp",
)

REGISTRIES = (
    "deb.debian.org", "security.debian.org", "snapshot.debian.org",
    "archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com",
    "pypi.org", "files.pythonhosted.org",
    "registry.npmjs.org", "registry.yarnpkg.com",
    "index.crates.io", "static.crates.io", "crates.io",
    "proxy.golang.org", "sum.golang.org",
    "rubygems.org", "index.rubygems.org",
    "repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org",
    "api.nuget.org", "repo.packagist.org", "dl-cdn.alpinelinux.org",
)  # fmt: skip
"""Hosts of packages. What serves whatever anybody uploads, such as a forge, is not among them."""
_APT = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLES = (
    BUNDLE,
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_TRUST = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_INDEXES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "GOPROXY",
    "GONOSUMDB",
    "GOSUMDB",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """`env` for processes, `copies` of host files by path inside, and what could not be granted."""

    env: tuple[tuple[str, str], ...]
    copies: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def grant(environ: Mapping[str, str]) -> Grant:
    """The host's trust store, proxies and package indexes, from its files and its environment.

    Whatever has credentials in it or names a file of the host stays outside.
    """
    env, notes = {}, []
    names = [*_PROXIES, *(name.upper() for name in _PROXIES), *_INDEXES]
    for name in names:
        kept, dropped = _usable(environ.get(name, ""))
        if kept:
            env[name] = kept
        if dropped:
            notes.append(f"{name} is not shown to builds: it {dropped}")
    bundle = _bundle(environ)
    if bundle is not None:
        env.update(dict.fromkeys(_TRUST, BUNDLE))
    return Grant(
        env=tuple(env.items()),
        copies=((BUNDLE, str(bundle)),) if bundle else (),
        notes=tuple(notes),
    )


def granted(reaches: str, environ: Mapping[str, str]) -> Grant | None:
    """What a machine gets whose label's `network` is this; None if it has no network."""
    if reaches == "none":
        return None
    whole = grant(environ)
    return whole if reaches == "full" else _without_proxies(whole, environ)


def _without_proxies(granted: Grant, environ: Mapping[str, str]) -> Grant:
    """The same for a machine that reaches some hosts alone: a proxy would reach everything."""
    proxies = {name for word in _PROXIES for name in (word, word.upper())}
    used = any(environ.get(name) for name in proxies if not name.lower().startswith("no_"))
    note = "the host's proxies are not used: through them a machine would reach everything"
    return dataclasses.replace(
        granted,
        env=tuple((name, value) for name, value in granted.env if name not in proxies),
        notes=(*granted.notes, *([note] if used else [])),
    )


def registries(environ: Mapping[str, str], apt: Path = Path("/etc/apt")) -> list[str]:
    """The names of hosts that have packages: public ones, and the indexes that the host uses."""
    texts = [environ.get(name, "") for name in _INDEXES]
    texts += [
        path.read_text(errors="replace") for pattern in _APT for path in sorted(apt.glob(pattern))
    ]
    found = {host.lower() for text in texts for host in _hosts(text)}
    return sorted({*REGISTRIES, *found})


def policy(
    reaches: str,
    allow: Sequence[Allowed],
    environ: Mapping[str, str],
    apt: Path = Path("/etc/apt"),
) -> Policy | None:
    """What a machine may reach whose label's `network` is this; None: whatever its way out does.

    Raises `InfraError` where nothing can hold it to that.
    """
    if reaches in ("none", "full"):
        return None
    names = []
    if reaches == "registries":
        names.append(Names(names=registries(environ, apt), ports=WEB, trusted=True))
    by_ports: dict[Ports, list[str]] = {}
    for each in allow:
        if each.is_name:
            by_ports.setdefault(each.ports, []).append(each.host)
    names += [Names(names=hosts, ports=ports, trusted=False) for ports, hosts in by_ports.items()]
    return Policy(
        nft=_nft(),
        names=names,
        ranges=[(each.host, each.ports) for each in allow if not each.is_name],
        denied=[*egress.PRIVATE, *unreachable()],
    )


def _nft() -> str:
    program = shutil.which("nft", path=disk.TOOLS)
    if program is None:
        raise InfraError(
            "a machine that reaches some hosts alone needs nft", hint="apt-get install nftables"
        )
    return program


def _hosts(text: str) -> list[str]:
    return re.findall(r"https?://(?:[^/@\s]*@)?([A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])", text)


def _bundle(environ: Mapping[str, str]) -> Path | None:
    candidates = [environ[name] for name in _TRUST if environ.get(name)]
    return next((Path(path) for path in (*candidates, *_BUNDLES) if Path(path).is_file()), None)


def _usable(value: str) -> tuple[str, str | None]:
    """The words of a setting that a machine can use, and why others were left out."""
    kept, why = [], None
    for word in value.split():
        try:
            url = urllib.parse.urlsplit(word)
            credentials = url.username is not None
        except ValueError:
            continue
        if url.scheme == "file" or word.startswith(("/", "./")):
            continue
        if credentials:
            why = "holds credentials"
        elif url.hostname is not None and _is_loopback(url.hostname):
            why = "points at the host's loopback, which machines can't reach"
        else:
            kept.append(word)
    return " ".join(kept), why


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def unreachable(policy: Policy | None = None) -> list[str]:
    """The networks that machines must not reach: the host's own addresses and link-local ones,
    unless the policy opens them."""
    import psutil

    own = [
        f"{address.address}/32"
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    networks = [LINK_LOCAL, *sorted(set(own))]
    return networks if policy is None else egress.still_denied(policy, networks)


def resolver_of(reaches: str) -> str:
    """The address at which names are answered in the network namespace of such a machine."""
    return RESOLVER if reaches == "full" else resolver.ADDRESS
