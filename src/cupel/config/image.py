"""The `images:` of the server's configuration: what root filesystems are made of, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cupel.config import scalar, system
from cupel.config.document import Scalar, Value
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Text
from cupel.config.shape import Field, Found, ListOf, MapOf, Placed, Record, Refused, Schema
from cupel.config.system import SystemConfig

SUITE_DEFAULT = "bookworm"
PACKAGES = ("ca-certificates", "git", "make", "python3", "python3-pip", "python3-venv")
"""What a default machine has besides Debian's base. No compiler: it is 150 MB more to fetch before
anything can be proved, wheels need none, and a label that wants one adds `build-essential`."""

SIZE = 10 << 30
_LONGEST = 64 << 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TarConfig:
    """A root filesystem in a tar file, `path` on the host, that must have this `sha256`."""

    path: str
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileConfig:
    """A file to write: `mode` are its permission bits."""

    path: str
    content: str
    mode: int = 0o644


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchConfig:
    """What is fetched while the image is built, so that jobs find it there without a network."""

    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    git: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """A root filesystem, from one of `suite`, `tar` and `oci`; or else a `system` that is booted as
    it is. Plain values: it travels to hosts.

    `packages` are added to the base; `steps` and `tests` are shell commands; `playbook` is the text
    of one. It is built anew every `refresh` seconds, on a machine with a disk of `size` bytes.
    `name` is None for the image of a single label.
    """

    name: str | None = None
    suite: str | None = SUITE_DEFAULT
    tar: TarConfig | None = None
    oci: str | None = None
    packages: tuple[str, ...] = PACKAGES
    files: tuple[FileConfig, ...] = ()
    prefetch: PrefetchConfig = PrefetchConfig()
    steps: tuple[str, ...] = ()
    playbook: str | None = None
    tests: tuple[str, ...] = ()
    refresh: float | None = None
    size: int = SIZE
    system: SystemConfig | None = None

    @property
    def is_system(self) -> bool:
        return self.system is not None


DEFAULT = ImageConfig()

_PACKAGE = Text(
    wanted="the name of a package",
    pattern="[a-z0-9][a-z0-9+.-]{1,99}",
    rule="small letters, digits, “+”, “-” and “.”",
)
_PACKAGE_NAMES = ListOf(_PACKAGE, "names of packages")
_SCRIPTS = ListOf(Text(wanted="a shell command", limit=_LONGEST, multiline=True), "shell commands")
NAME = Text(
    wanted="the name of an image",
    pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    rule="a letter or digit, then at most 63 letters, digits, “_”, “.” or “-”",
)

SUITE = Field(
    key="suite",
    shape=Text(wanted="a suite of Debian", pattern="[a-z][a-z0-9-]{0,31}"),
    text="The base: a suite of Debian or Ubuntu, put together by mmdebstrap; `bookworm` unless "
    "`tar` or `oci` says otherwise.",
)
TAR_PATH = Field(key="path", shape=system.PATH, text="The tar file on the host.", required=True)
TAR_SHA256 = Field(
    key="sha256",
    shape=Text(wanted="a SHA-256 in hex", pattern="[0-9a-f]{64}"),
    text="Its SHA-256, as `sha256sum` prints it; another file is refused.",
    required=True,
)
TAR_RECORD = Record(wanted="a mapping with path and sha256", fields=(TAR_PATH, TAR_SHA256))
TAR = Field(
    key="tar",
    shape=TAR_RECORD,
    text="The base, instead: a tar of a root filesystem, by `path` (on each host) and `sha256`. It "
    "needs bash, and GNU tar.",
)
OCI = Field(
    key="oci",
    shape=Text(
        wanted="an OCI image",
        pattern=r"(?:docker://|oci-archive:/|docker-archive:/|oci:/)[A-Za-z0-9./:@_%+-]+",
        rule="write it as skopeo does: docker://REGISTRY/NAME:TAG, docker://NAME@sha256:…, or "
        "oci-archive:/PATH",
        limit=1000,
    ),
    text="The base, instead: an OCI image as skopeo names it, `docker://REGISTRY/NAME:TAG` or "
    "`oci-archive:/PATH`. Its files are used, its command and environment are not. It needs bash, "
    "and GNU tar.",
)
PACKAGE_LIST = Field(
    key="packages",
    shape=_PACKAGE_NAMES,
    text="Debian packages on top of the base; by default " + ", ".join(PACKAGES) + ", on a base "
    "of `tar` or `oci` none.",
)
CONTENT = Field(
    key="content",
    shape=Text(wanted="what is in the file", limit=_LONGEST, multiline=True, empty=True),
    text="The text in it.",
    required=True,
)
MODE = Field(
    key="mode",
    shape=Text(
        wanted="permissions", pattern="0?[0-7]{3}", rule='three octal digits, such as "755"'
    ),
    text='Its permissions, such as `"755"`; `"644"` by default.',
)
FILE_RECORD = Record(wanted="a mapping with content and mode", fields=(CONTENT, MODE))
FILES = Field(
    key="files",
    shape=MapOf(system.PATH, FILE_RECORD, "paths to files"),
    text="Files to write, by path, each with `content` and `mode`.",
)
_REQUIREMENT = Text(
    wanted="a requirement of pip",
    pattern="[^-].*",
    rule="a line of a requirements file without options, such as pytest==8.3.4",
    limit=1000,
)
PIP = Field(
    key="pip",
    shape=ListOf(_REQUIREMENT, "requirements"),
    text="Requirements as in a requirements file. They and all that they need lie in the image as "
    "wheels, with setuptools and wheel beside them, and `pip install` finds them there.",
)
NPM = Field(
    key="npm",
    shape=ListOf(
        Text(
            wanted="a package of npm",
            pattern=r"(?:@[a-z0-9~._-]+/)?[a-z0-9~_][a-z0-9~._-]*(?:@[A-Za-z0-9^~<>=*.+|_ -]+)?",
            rule="a name with perhaps a version, such as left-pad@1.3.0",
        ),
        "packages of npm",
    ),
    text="Packages with perhaps a version. They and all that they need lie in npm's cache, and "
    "`npm install` finds them there. It takes the packages `nodejs` and `npm`.",
)
GIT = Field(
    key="git",
    shape=ListOf(
        Text(
            wanted="the URL of a repository",
            pattern=r"(?:https?|git|ssh)://[A-Za-z0-9.-]+(?::[0-9]+)?/[A-Za-z0-9._~/+%@-]+",
            rule="such as https://example.org/project.git",
            limit=1000,
        ),
        "URLs of repositories",
    ),
    text="Repositories to mirror: `git clone` and `git fetch` of these URLs read the mirror.",
)
APT = Field(
    key="apt",
    shape=_PACKAGE_NAMES,
    text="Debian packages whose archives, with all that they need, lie in a repository in the "
    "image, from which `apt-get install` takes them.",
)
PREFETCH_RECORD = Record(wanted="a mapping of what to prefetch", fields=(PIP, NPM, GIT, APT))
PREFETCH = Field(
    key="prefetch",
    shape=PREFETCH_RECORD,
    text="What jobs will install or fetch: it is fetched while the image is built, and found there "
    "without a network.",
)
STEPS = Field(
    key="steps",
    shape=_SCRIPTS,
    text="Shell commands (bash) that finish the image, one after the other, as root and with a "
    "network.",
)
PLAYBOOK = Field(
    key="playbook",
    shape=Text(
        wanted="the text of an Ansible playbook",
        pattern=r"\s*(?:---|#|-\s)[\s\S]*",
        rule="write the playbook itself there, after “playbook: |”, not the name of its file",
        limit=_LONGEST,
        multiline=True,
    ),
    text="The text of an Ansible playbook, for `hosts: all`, that runs after the steps. "
    "ansible-core comes from PyPI and leaves again; the image needs python3 and python3-venv.",
)
TESTS = Field(
    key="tests",
    shape=_SCRIPTS,
    text="Shell commands that must pass on a fresh machine of the finished image, without a "
    "network, before it is used.",
)
REFRESH = Field(
    key="refresh",
    shape=scalar.duration(3600, 36_500 * 86_400.0),
    text="How old the image may become before it is built anew, such as `7d`; by default it stays "
    "until its definition changes.",
)
SIZE_FIELD = Field(
    key="size",
    shape=scalar.size(256 << 20, 64 << 40),
    text="The disk of the machine that it is built on, such as `10G` (the default).",
)


_OF_ROOTS: tuple[Field[Any], ...] = (
    PACKAGE_LIST, FILES, PREFETCH, STEPS, PLAYBOOK, TESTS, REFRESH, SIZE_FIELD,
)  # fmt: skip


class ImageShape:
    """Reads what an image is made of."""

    record = Record(
        wanted="a mapping that describes an image",
        fields=(
            SUITE,
            TAR,
            OCI,
            system.DISK,
            system.KERNEL,
            PACKAGE_LIST,
            FILES,
            PREFETCH,
            STEPS,
            PLAYBOOK,
            TESTS,
            REFRESH,
            SIZE_FIELD,
        ),
    )

    def read(self, value: Value, problems: Problems) -> ImageConfig:
        found = self.record.read(value, problems)
        fields: tuple[Field[Any], ...] = (SUITE, TAR, OCI, system.DISK, system.KERNEL)
        bases = [field for field in fields if found.find(field) is not None]
        if len(bases) > 1:
            keys = " and ".join(show(field.key) for field in bases)
            raise Refused(
                found.mark(bases[1]), f"an image with {keys}", "it has one base: keep one"
            )
        if (booted := system.read(found)) is not None:
            system.check_alone(found, _OF_ROOTS)
            return ImageConfig(suite=None, packages=(), system=booted)
        is_suite = found.find(TAR) is None and found.find(OCI) is None
        packages = found.get(PACKAGE_LIST, PACKAGES if is_suite else ())
        return ImageConfig(
            suite=found.get(SUITE, SUITE_DEFAULT) if is_suite else None,
            tar=_tar(found),
            oci=found.find(OCI),
            packages=tuple(dict.fromkeys(packages)),
            files=_files(found),
            prefetch=_prefetch(found),
            steps=found.get(STEPS, ()),
            playbook=found.find(PLAYBOOK),
            tests=found.get(TESTS, ()),
            refresh=found.find(REFRESH),
            size=int(found.get(SIZE_FIELD, SIZE)),
        )

    def schema(self) -> Schema:
        return self.record.schema()


class NamedOrShape:
    """Reads the image of a label: the name of one of `images`, or what it is made of."""

    _image = ImageShape()

    def read(self, value: Value, problems: Problems) -> Placed[str] | ImageConfig:
        if isinstance(value, Scalar):
            return Placed(NAME.read(value, problems), value.at)
        return self._image.read(value, problems)

    def schema(self) -> Schema:
        return {"anyOf": [NAME.schema(), self._image.schema()]}


IMAGES = Field(
    key="images",
    shape=MapOf(NAME, ImageShape(), "names to images"),
    text="Root filesystems that labels name. Each is built before it is needed, and again when its "
    "definition changes or it is old; machines move over once the new one has passed its tests.",
)


def read_all(found: Found) -> Mapping[str, ImageConfig | None]:
    """The images of a file, by name; None for those that cannot be read."""
    images: dict[str, ImageConfig | None] = {}
    for name, image in found.get(IMAGES, ()):
        images[name.value] = image and dataclasses.replace(image, name=name.value)
    return images


def resolve(
    image: Placed[str] | ImageConfig,
    images: Mapping[str, ImageConfig | None],
    problems: Problems,
) -> ImageConfig:
    """What a label's image is made of; a name that there is not is a problem where it stands."""
    if isinstance(image, ImageConfig):
        return image
    if image.value not in images:
        _unknown(image.at, image.value, images, problems)
    return images.get(image.value) or ImageConfig()


def _unknown(at: Mark, name: str, images: Mapping[str, object], problems: Problems) -> None:
    if images:
        problems.add_unknown(at, f"no image {show(name)}", name, list(images), "images")
    else:
        problems.add(at, f"no image {show(name)}", "the file has no `images`: define it there")


def _tar(found: Found) -> TarConfig | None:
    tar: Found | None = found.find(TAR)
    if tar is None:
        return None
    return TarConfig(path=tar.get(TAR_PATH, ""), sha256=tar.get(TAR_SHA256, ""))


def _files(found: Found) -> tuple[FileConfig, ...]:
    files: tuple[tuple[Placed[str], Found | None], ...] = found.get(FILES, ())
    return tuple(
        FileConfig(
            path=path.value, content=file.get(CONTENT, ""), mode=int(file.get(MODE, "644"), 8)
        )
        for path, file in files
        if file is not None
    )


def _prefetch(found: Found) -> PrefetchConfig:
    prefetch: Found | None = found.find(PREFETCH)
    if prefetch is None:
        return PrefetchConfig()
    return PrefetchConfig(
        pip=prefetch.get(PIP, ()),
        npm=prefetch.get(NPM, ()),
        git=prefetch.get(GIT, ()),
        apt=prefetch.get(APT, ()),
    )
