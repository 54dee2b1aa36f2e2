"""The server's own configuration: the optional file `cupel.yaml` in its state directory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cupel.config import document, egress, image, notice, quantity, scalar
from cupel.config.document import Value
from cupel.config.egress import Allowed, Network
from cupel.config.image import ImageConfig
from cupel.config.notice import MailConfig, WebhookConfig
from cupel.config.problem import Problems, show
from cupel.config.scalar import Choice, Quantity, Text
from cupel.config.shape import Field, Found, MapOf, Placed, Record, Refused, Schema, attempt
from cupel.errors import InfraError

FILE = "cupel.yaml"
LISTEN = "127.0.0.1:8470"
DAY = 86_400.0
GIB = 1 << 30


PROVIDERS = ("namespace", "vm")
INITS = ("none", "systemd")
OFFERS = ("nobody", "admin", "write")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many machines of a label there are: `ready` ones idle, `ceiling` in all, `quota` in use
    by one project (None: no limit). One that was idle for `idle` seconds is replaced. At most
    `holds` are held for people at a time."""

    ready: int = 1
    ceiling: int | None = None
    quota: int | None = None
    idle: float = 3600.0
    holds: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What a machine of a label is: sizes in bytes; `provider` and `init` are words of `PROVIDERS`
    and `INITS`, `network` and `allow` as in `egress.Network`."""

    image: ImageConfig = image.DEFAULT
    provider: str = "namespace"
    init: str = "none"
    network: str = "none"
    allow: tuple[Allowed, ...] = ()
    cpus: float = 2.0
    memory: int = 4 * GIB
    disk: int = 10 * GIB
    pids: int = 4096
    pool: PoolConfig = PoolConfig()

    @property
    def is_system(self) -> bool:
        """Whether it boots a system of its own, in which nothing can be started."""
        return self.image.is_system

    @property
    def packages(self) -> tuple[str, ...]:
        return self.image.packages

    @property
    def prefetches(self) -> bool:
        """Whether some of what jobs fetch is in its image."""
        return self.image.prefetch != image.PrefetchConfig()


DEFAULT_LABELS: Mapping[str, LabelConfig] = {
    "debian-12": LabelConfig(),
    "debian-12-net": LabelConfig(network="full", pool=PoolConfig(ready=0)),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CachesConfig:
    """Bytes that caches may take on each host: all together, and those of one project."""

    room: int = 20 * GIB
    share: int = 5 * GIB


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How a server runs. `url` is where people reach it, None for where it listens.

    `read` is `anyone`, `login` or `auto`. Limits are bytes of one build. `database` is a URL, None
    for SQLite in the state directory; `images` are those with a name; `keep` is how long builds'
    logs and artefacts are kept, in seconds. A host
    of another process that was not heard of for `lease` seconds is lost. Those who are told what
    happens are `webhooks`, by name, and authors, by `mail`. `offers` is a word of `OFFERS`.
    """

    slots: int
    listen: str = LISTEN
    url: str | None = None
    read: str = "auto"
    database: str | None = None
    images: Mapping[str, ImageConfig] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, LabelConfig] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_LABELS)
    )
    log_limit: int = 256 << 20
    artefact_limit: int = GIB
    result_limit: int = 256 << 20
    caches: CachesConfig = dataclasses.field(default_factory=CachesConfig)
    keep: float = 90 * DAY
    hold_limit: float = 8 * 3600.0
    lease: float = 45.0
    webhooks: Mapping[str, WebhookConfig] = dataclasses.field(default_factory=dict)
    mail: MailConfig | None = None
    offers: str = "nobody"


def _count(wanted: str, high: int, *, low: int = 1) -> Quantity:
    return Quantity(wanted=wanted, example="4", parse=scalar.whole, low=low, high=high)


PROVIDER = Field(
    key="provider",
    shape=Choice(words=PROVIDERS),
    text="`namespace` (the default): the machine shares the host's kernel; `vm`: it is a virtual "
    "machine with a kernel of its own, by QEMU.",
)
INIT = Field(
    key="init",
    shape=Choice(words=INITS),
    text="`none` (the default): nothing runs but what the job starts; `systemd`: a virtual machine "
    "is booted by the systemd of its image, with its services.",
)
CPUS = Field(
    key="cpus",
    shape=Quantity(
        wanted="a number of cores", example="2 or 0.5", parse=scalar.number, low=0.1, high=1024
    ),
    text="How many cores it may use; 2 by default.",
)
MEMORY = Field(
    key="memory",
    shape=scalar.size(64 << 20, 64 << 40),
    text="How much memory it may use, such as `4G` (the default).",
)
DISK = Field(
    key="disk",
    shape=scalar.size(64 << 20, 64 << 40),
    text="How much it may write to disk, such as `10G` (the default).",
)
PIDS = Field(
    key="pids",
    shape=Quantity(wanted="a count", example="4096", parse=scalar.whole, low=16, high=4_194_304),
    text="How many processes and threads it may have; 4096 by default.",
)


IMAGE = Field(
    key="image",
    shape=image.NamedOrShape(),
    text="The root filesystem: the name of one of `images`, or what it is made of, which is built "
    "when first used, and again when this changes.",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelFound:
    """A label as it was read; its `image` may still be a name."""

    label: LabelConfig
    image: Placed[str] | ImageConfig


READY = Field(
    key="ready",
    shape=_count("a count of machines", 10_000, low=0),
    text="How many machines stand ready for builds to come, besides what the recent rate of builds "
    "asks for; 1 by default. With 0 they are made when a build asks for one.",
)
CEILING = Field(
    key="ceiling",
    shape=_count("a count of machines", 10_000),
    text="How many machines of the label there may be at a time; by default as many as fit.",
)
QUOTA = Field(
    key="quota",
    shape=_count("a count of machines", 10_000),
    text="How many of them one project may use at a time; by default as many as there are.",
)
HOLDS = Field(
    key="holds",
    shape=_count("a count of machines", 10_000, low=0),
    text="How many of them may be held for people at a time (`cupel hold`); by default any number. "
    "On a host no more than half of its slots may be, whatever the label.",
)
IDLE = Field(
    key="idle",
    shape=scalar.duration(60, 30 * DAY),
    text="A machine that was ready for so long is replaced by a new one, such as `1h` (the "
    "default).",
)


class PoolShape:
    """Reads how many machines of a label there are to be."""

    record = Record(
        wanted="a mapping with ready, ceiling, quota, holds and idle",
        fields=(READY, CEILING, QUOTA, HOLDS, IDLE),
    )

    def read(self, value: Value, problems: Problems) -> PoolConfig:
        found = self.record.read(value, problems)
        default = PoolConfig()
        ceiling, quota, holds = found.find(CEILING), found.find(QUOTA), found.find(HOLDS)
        return PoolConfig(
            ready=int(found.get(READY, default.ready)),
            ceiling=None if ceiling is None else int(ceiling),
            quota=None if quota is None else int(quota),
            idle=found.get(IDLE, default.idle),
            holds=None if holds is None else int(holds),
        )

    def schema(self) -> Schema:
        return self.record.schema()


POOL = Field(
    key="pool", shape=PoolShape(), text="How many machines stand ready, and how many there may be."
)


class LabelShape:
    """Reads a label; what it leaves out is as by default."""

    record = Record(
        wanted="a mapping that describes a machine",
        fields=(IMAGE, PROVIDER, INIT, egress.NETWORK, CPUS, MEMORY, DISK, PIDS, POOL),
    )

    def read(self, value: Value, problems: Problems) -> LabelFound:
        found = self.record.read(value, problems)
        default = LabelConfig()
        network = found.get(egress.NETWORK, Network(reaches=default.network))
        label = LabelConfig(
            provider=found.get(PROVIDER, default.provider),
            init=found.get(INIT, default.init),
            network=network.reaches,
            allow=network.allow,
            cpus=found.get(CPUS, default.cpus),
            memory=int(found.get(MEMORY, default.memory)),
            disk=int(found.get(DISK, default.disk)),
            pids=int(found.get(PIDS, default.pids)),
            pool=found.get(POOL, default.pool),
        )
        if label.init != "none" and label.provider != "vm":
            raise Refused(
                value.at, f"init: {label.init} needs a kernel of its own", "add `provider: vm`"
            )
        return LabelFound(label=label, image=found.get(IMAGE, default.image))

    def schema(self) -> Schema:
        return self.record.schema()


class ListenShape:
    """Reads an address and a port."""

    _text = Text(
        wanted="an address and a port",
        pattern=r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}",
        rule="write it as in 127.0.0.1:8470 or [::1]:8470",
    )

    def read(self, value: Value, problems: Problems) -> str:
        text = self._text.read(value, problems)
        if int(text.rpartition(":")[2]) > 65_535:
            raise Refused(value.at, f"{show(text)} has no such port", "0 to 65535 is possible")
        return text

    def schema(self) -> Schema:
        return self._text.schema()


LOG = Field(
    key="log",
    shape=scalar.size(1 << 16, 1 << 40),
    text="How much a build may print, such as `256M` (the default); one that prints more fails.",
)
ARTEFACTS = Field(
    key="artefacts",
    shape=scalar.size(1 << 16, 1 << 40),
    text="How much a build may leave in `$CUPEL_ARTIFACTS`, such as `1G` (the default); one that "
    "leaves more fails.",
)
RESULTS = Field(
    key="results",
    shape=scalar.size(1 << 16, 1 << 30),
    text="How much of what a build leaves in `$CUPEL_RESULTS` is read, such as `256M` (the "
    "default). It counts as artefacts, too.",
)
KEEP = Field(
    key="keep",
    shape=scalar.duration(3600, 36_500 * DAY),
    text="How long logs, results of tests and artefacts of finished builds are kept, such as "
    "`90d` (the default).",
)

LISTEN_AT = Field(
    key="listen",
    shape=ListenShape(),
    text=f"The address and port to listen on; `{LISTEN}` by default, port 0 takes a free one.",
)
URL = Field(
    key="url",
    shape=Text(
        wanted="the server's own URL",
        pattern=r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?",
        rule="the scheme, the name and perhaps a port, without a path, as in https://cupel.example.org",
    ),
    text="Where people reach the server, such as `https://cupel.example.org`, if that is by a name "
    "or through a proxy and not where it listens. Links lead there, and pages answer to that name.",
)
SLOTS = Field(
    key="slots",
    shape=_count("a count of machines", 10_000, low=0),
    text="How many machines there may be at a time on the server's own computer; by default one "
    "for each cpu, at least 2. With 0 only other hosts make machines.",
)
READ = Field(
    key="read",
    shape=Choice(words=("anyone", "login", "auto")),
    text="Who may look at pages, logs and repositories: `anyone` who reaches the server, or those "
    "who `login`. By default `auto`: anyone while it listens on a loopback address, which only "
    "this computer reaches, and has no `url` of its own, else those who login. Changing things "
    "always takes a login.",
)
LEASE = Field(
    key="lease",
    shape=scalar.duration(15, 3600),
    text="How long a host that is a process of its own may be out of reach until what it does is "
    "done elsewhere, such as `45s` (the default). Until then its builds go on.",
)
DATABASE = Field(
    key="database",
    shape=Text(wanted="the URL of a database", limit=1000),
    text="Where rows are kept, such as `postgresql://user@host/cupel`; by default SQLite in the "
    "state directory.",
)
LABELS = Field(
    key="labels",
    shape=MapOf(
        Text(
            wanted="a label",
            pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
            rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
        ),
        LabelShape(),
        "labels to machines",
    ),
    text="What jobs may ask for by `machine`. These replace the default labels, `debian-12` "
    "without network and `debian-12-net` with it.",
)
HOLD = Field(
    key="hold",
    shape=scalar.duration(60, 30 * DAY),
    text="For how long a machine may be held for somebody (`cupel hold`); 8 hours by default.",
)
LIMITS_RECORD = Record(wanted="a mapping of limits", fields=(LOG, ARTEFACTS, RESULTS, KEEP, HOLD))
LIMITS = Field(key="limits", shape=LIMITS_RECORD, text="What a build may leave behind.")

ROOM = Field(
    key="room",
    shape=scalar.size(0, 1 << 50),
    text="How much the caches of all projects together may take on each host, such as `20G` (the "
    "default). With 0 nothing is kept.",
)
SHARE = Field(
    key="share",
    shape=scalar.size(0, 1 << 50),
    text="How much those of one project may take of it, such as `5G` (the default).",
)
CACHES_RECORD = Record(wanted="a mapping with room and share", fields=(ROOM, SHARE))
CACHES = Field(
    key="caches",
    shape=CACHES_RECORD,
    text="What jobs keep for later ones (`cache`): what was not used for longest goes first.",
)

OFFERS_OF = Field(
    key="offers",
    shape=Choice(words=OFFERS),
    text="Whose passes of `cupel run --offer` on their own computers count as if they had been run "
    "here: `nobody`'s (the default), or of those whose token has scope `admin`, or `write`. It is "
    "their word alone that lands what it proves.",
)
EVIDENCE_RECORD = Record(wanted="a mapping with offers", fields=(OFFERS_OF,))
EVIDENCE = Field(
    key="evidence",
    shape=EVIDENCE_RECORD,
    text="What counts as proof that a job has passed, beside its runs here.",
)

SERVER = Record(
    wanted="a mapping with settings of the server",
    fields=(
        LISTEN_AT,
        URL,
        SLOTS,
        LEASE,
        READ,
        DATABASE,
        image.IMAGES,
        LABELS,
        LIMITS,
        notice.WEBHOOKS,
        notice.MAIL,
        CACHES,
        EVIDENCE,
    ),
)


def parse(text: str, *, file: str = FILE, cpus: int | None = None) -> ServerConfig:
    """The configuration in a text; an empty one is all defaults. Raises `ConfigErrors`.

    `cpus` is how many the computer has.
    """
    problems = Problems()
    tree = document.read(file, text, problems)
    found = attempt(SERVER, tree, problems) if tree is not None else None
    config = ServerConfig(slots=max(2, cpus or 2))
    if found is not None:
        config = _settings(found, config, problems)
    problems.raise_any()
    return config


def _settings(found: Found, default: ServerConfig, problems: Problems) -> ServerConfig:
    limits = found.get(LIMITS, Found(found.at, {}, set()))
    images = image.read_all(found)
    evidence = found.get(EVIDENCE, Found(found.at, {}, set()))
    return ServerConfig(
        listen=found.get(LISTEN_AT, default.listen),
        url=found.find(URL),
        slots=int(found.get(SLOTS, default.slots)),
        lease=found.get(LEASE, default.lease),
        read=found.get(READ, default.read),
        database=found.find(DATABASE),
        images={name: made for name, made in images.items() if made is not None},
        labels=_labels(found, images, default, problems),
        log_limit=int(limits.get(LOG, default.log_limit)),
        artefact_limit=int(limits.get(ARTEFACTS, default.artefact_limit)),
        result_limit=int(limits.get(RESULTS, default.result_limit)),
        keep=limits.get(KEEP, default.keep),
        webhooks=notice.webhooks(found, problems),
        mail=found.find(notice.MAIL),
        caches=_caches(found, problems),
        hold_limit=limits.get(HOLD, default.hold_limit),
        offers=evidence.get(OFFERS_OF, default.offers),
    )


def _caches(found: Found, problems: Problems) -> CachesConfig:
    default, read = CachesConfig(), found.find(CACHES)
    if read is None:
        return default
    room = int(read.get(ROOM, default.room))
    share = int(read.get(SHARE, min(room, default.share)))
    if share > room:
        problems.add(read.mark(SHARE), "a project's share is more than there is for all")
    return CachesConfig(room=room, share=share)


def _labels(
    found: Found,
    images: Mapping[str, ImageConfig | None],
    default: ServerConfig,
    problems: Problems,
) -> Mapping[str, LabelConfig]:
    labels = found.find(LABELS)
    if labels is None:
        return default.labels
    if not labels:
        problems.add(
            found.mark(LABELS), "no labels: no job could run", "remove the key for the default ones"
        )
    resolved = {
        name.value: dataclasses.replace(
            read.label, image=image.resolve(read.image, images, problems)
        )
        for name, read in labels
        if read is not None
    }
    for name, _ in labels:
        if (label := resolved.get(name.value)) is not None and label.image.is_system:
            _check_system(name, label, problems)
    return resolved


def _check_system(name: Placed[str], label: LabelConfig, problems: Problems) -> None:
    if label.provider != "vm":
        message = "an image that is booted needs a virtual machine"
        problems.add(name.at, message, "add `provider: vm` to the label")
    elif label.init != "none":
        problems.add(name.at, "an image that is booted has its own init", "remove `init`")


def load(state: Path) -> ServerConfig:
    """The configuration of the server of a state directory.

    On the first start the file is written, all in comments. Raises `ConfigErrors`, and
    `InfraError` when the file cannot be read.
    """
    path = state / FILE
    try:
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(default_text())
    except OSError as error:
        raise InfraError(f"cannot read {path}: {error.strerror}") from None
    return read(path)


def read(path: Path) -> ServerConfig:
    """The configuration in a file, which is all defaults where there is none.

    Raises as `load` does.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise InfraError(f"cannot read {path}: {error.strerror}") from None
    return parse(text, file=str(path), cpus=os.cpu_count())


def default_text() -> str:
    """The file of a first start: every key with its default, in comments."""
    lines = ["# Settings of Cupel's server, read when `cupel up` starts.", ""]
    shown: tuple[tuple[Field[Any], str], ...] = (
        (LISTEN_AT, LISTEN),
        (URL, "https://cupel.example.org"),
        (SLOTS, "2"),
        (LEASE, "45s"),
        (READ, "auto"),
        (DATABASE, "postgresql://cupel@localhost/cupel"),
    )
    for field, value in shown:
        lines += [*_comment(field.text), f"# {field.key}: {value}", ""]
    lines += [*_comment(image.IMAGES.text), *_EXAMPLE_IMAGE, ""]
    lines += [*_comment(notice.WEBHOOKS.text), *_EXAMPLE_WEBHOOKS, ""]
    lines += [*_comment(notice.MAIL.text), *_EXAMPLE_MAIL, ""]
    lines += [*_comment(LABELS.text), *_default_labels(), ""]
    lines += [
        *_comment(LIMITS.text),
        "# limits:",
        "#   log: 256M",
        "#   artefacts: 1G",
        "#   results: 256M",
        "#   keep: 90d",
        "",
    ]
    return "\n".join(lines)


_EXAMPLE_IMAGE = (
    "# images:",
    "#   python:",
    "#     suite: bookworm",
    "#     prefetch:",
    "#       pip: [pytest]",
    "#     refresh: 7d",
)


_EXAMPLE_WEBHOOKS = (
    "# webhooks:",
    "#   chat:",
    "#     url: https://chat.example.org/hooks/cupel",
    "#     secret_file: chat.secret",
    "#     events: [item.rejected, change.landed]",
)

_EXAMPLE_MAIL = (
    "# mail:",
    "#   server: smtp.example.org:587",
    "#   from: cupel@example.org",
    "#   domains: [example.org]",
)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def _default_labels() -> list[str]:
    lines = ["# labels:"]
    for name, label in DEFAULT_LABELS.items():
        lines += [
            f"#   {name}:",
            "#     image:",
            f"#       suite: {label.image.suite}",
            f"#       packages: [{', '.join(label.image.packages)}]",
            f"#     provider: {label.provider}",
            f"#     init: {label.init}",
            f"#     network: {label.network}",
            f"#     cpus: {label.cpus:g}",
            f"#     memory: {quantity.bytes_text(label.memory)}",
            f"#     disk: {quantity.bytes_text(label.disk)}",
            f"#     pids: {label.pids}",
            "#     pool:",
            f"#       ready: {label.pool.ready}",
            "#       idle: 1h",
        ]
    return lines
