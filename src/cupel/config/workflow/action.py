"""What well-known actions do, as scripts for a Debian machine with a network."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping

from cupel.config.document import Scalar
from cupel.config.problem import Mark, show
from cupel.config.workflow import tree
from cupel.config.workflow.caching import TOOLS, Caches
from cupel.config.workflow.note import Code, Notes
from cupel.config.workflow.shell import Writer

PYTHON = "/tmp/python"  # noqa: S108 - in the job's machine, which nobody else uses
NODE = "/tmp/node"  # noqa: S108
APT = "apt-get update -q && apt-get install -q --yes --no-install-recommends"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """An action as a step uses it. An input is worked out, and noted, only where it is read."""

    name: str
    at: Mark
    given: Mapping[str, Scalar]
    writer: Writer
    notes: Notes
    caches: Caches

    def bare(self, key: str) -> str:
        """An input, for use between double quotes."""
        value = self.given.get(key)
        return "" if value is None else self.writer.word(tree.text(value), value.at)[1:-1]

    def note_options(self, *keys: str) -> None:
        """Note those that are there, as they are not heeded."""
        for key in keys:
            if self.bare(key) not in ("", "false"):
                message = f"{self.name} with {key} {show(self.bare(key))}"
                self.notes.add(self.at, Code.OPTION, message)


Script = str | None
"""None: there is nothing to do."""


def convert(used: Used) -> tuple[bool, Script]:
    """Whether the action is known, and what it does."""
    known = _ACTIONS.get(used.name.lower())
    return (False, None) if known is None else (True, known(used))


def _checkout(used: Used) -> Script:
    used.note_options("repository", "ref", "path", "lfs", "sparse-checkout", "ssh-key")
    if used.bare("submodules") in ("true", "recursive"):
        recursive = " --recursive" if used.bare("submodules") == "recursive" else ""
        return f"git submodule update --init{recursive}\n"
    return None


def python(version: str = "") -> str:
    """A virtual environment of that version, first in PATH: of Debian's if it fits, else uv's."""
    return (
        f"version={version or '3'}\n"
        "mine=$(python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])')\n"
        'case "$version" in\n'
        '  3 | 3.x | "$mine")\n'
        f"    python3 -m venv {PYTHON} && {PYTHON}/bin/pip install -q --upgrade pip ;;\n"
        "  *)\n"
        "    python3 -m venv /tmp/uv && /tmp/uv/bin/pip install -q uv\n"
        '    /tmp/uv/bin/uv venv -q --seed --python "${version%-dev}" ' + PYTHON + " ;;\n"
        "esac\n"
        f'echo {PYTHON}/bin >> "$GITHUB_PATH"\n'
    )


def _setup_python(used: Used) -> Script:
    used.note_options("architecture", "check-latest", "freethreaded")
    _keep(used)
    version = used.bare("python-version")
    if "\n" in version.strip():
        version = version.split()[0]
        used.notes.add(used.at, Code.VERSION, f"only the first of several Pythons, {version}")
    if not version and used.bare("python-version-file"):
        return python(f'$(head -n 1 "{used.bare("python-version-file")}")')
    return python(f'"{version.strip()}"' if version else "")


def node(version: str = "") -> str:
    """Debian's Node, and where that is another version the one of the registry, first in PATH."""
    return (
        f"version={version or 'any'}\n"
        f"npm --version > /dev/null 2>&1 || ({APT} nodejs npm)\n"
        'case "$version" in any | "lts/*" | latest | node) version=any ;; esac\n'
        'if [ "$version" != any ] && ! node --version | grep -q "^v${version%%.x*}[.]"; then\n'
        f'  npm install --silent --no-audit --prefix {NODE} "node@${{version%%.x*}}"\n'
        f'  echo {NODE}/node_modules/.bin >> "$GITHUB_PATH"\n'
        "fi\n"
    )


def _setup_node(used: Used) -> Script:
    used.note_options("registry-url", "architecture", "check-latest", "always-auth")
    _keep(used)
    version = used.bare("node-version").strip()
    if not version and used.bare("node-version-file"):
        return node(f'$(tr -d v < "{used.bare("node-version-file")}")')
    return node(f'"{version}"' if version else "")


def _keep(used: Used) -> None:
    """What actions that set a tool up keep for it."""
    if used.bare("cache") not in ("", "false"):
        used.caches.of_tool(used.bare("cache"), used.at)


def _debian(command: str, packages: str, *versions: str) -> Callable[[Used], Script]:
    """What Debian's packages are enough for; a version is noted, since it may be another."""

    def convert(used: Used) -> Script:
        if used.bare("cache") in TOOLS:
            _keep(used)
        for key in versions:
            if used.bare(key) not in ("", "stable", "oldstable"):
                message = f"{used.name} with {key} {show(used.bare(key))}: Debian's is taken"
                used.notes.add(used.at, Code.VERSION, message)
        return f"{command} > /dev/null 2>&1 || ({APT} {packages})\n"

    return convert


def _uv(used: Used) -> Script:
    if used.bare("enable-cache") == "true":
        used.caches.of_tool("uv", used.at)
    version = f"=={used.bare('version')}" if re.match(r"\d", used.bare("version")) else ""
    return (
        f"python3 -m venv /tmp/uv && /tmp/uv/bin/pip install -q 'uv{version}'\n"
        'echo /tmp/uv/bin >> "$GITHUB_PATH"\n'
    )


def _pnpm(used: Used) -> Script:
    version = used.bare("version") or "9"
    return f'{node()}npm install --silent --global "pnpm@{version}"\n'


def _cache(used: Used) -> Script:
    path, key = used.given.get("path"), used.given.get("key")
    if path is None or "${{" in path.text:
        used.notes.add(used.at, Code.CACHE, f"{used.name} of {show(path.text if path else '')}")
    else:
        used.caches.written(path.text, key.text if key else "", used.writer, used.at)
    return None


def _rust_cache(used: Used) -> Script:
    used.caches.of_tool("rust", used.at)
    return None


def _upload(used: Used) -> Script:
    """Copies as the action does: what is below the directory that all the paths share."""
    lines = [line.strip() for line in used.bare("path").split("\n") if line.strip()]
    if any(line.startswith("!") for line in lines):
        used.notes.add(
            used.at, Code.ARTEFACT, "paths that are left out, with !, are copied as well"
        )
    paths = [line for line in lines if not line.startswith("!")]
    name = used.bare("name") or "artifact"
    head = f'into="$CUPEL_ARTIFACTS/{name}"\nmkdir -p "$into"\nshopt -s nullglob globstar\n'
    if len(paths) == 1:
        return head + (
            f"for each in {_glob(paths[0])}; do\n"
            '  if [ -d "$each" ]; then cp -a "$each/." "$into"; else cp -a "$each" "$into"; fi\n'
            "done\n"
        )
    base = _shared(paths)
    inside = f"cd {shlex.quote(base)}\n" if base else ""
    each = " ".join(_glob(path.removeprefix(base).lstrip("/") or ".") for path in paths)
    return f'{head}{inside}for each in {each}; do\n  cp -a --parents "$each" "$into"\ndone\n'


def _glob(path: str) -> str:
    """The path with its wildcards open to the shell, and all else quoted."""
    parts = re.split(r"(\*+|\?|\$\{\w+-?\}|\{\{matrix\.[\w-]+\}\}|~/)", path)
    return "".join(
        part if number % 2 else (shlex.quote(part) if part else "")
        for number, part in enumerate(parts)
    )


def _shared(paths: list[str]) -> str:
    """The directory that all paths are below."""
    parts = [re.split(r"[*?$]", path)[0].split("/")[:-1] for path in paths]
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return "/".join(shared)


def _download(used: Used) -> Script:
    used.note_options("run-id", "repository", "github-token", "artifact-ids")
    into = used.bare("path") or "."
    name = used.bare("name")
    if name:
        found, target = f'"$CUPEL_NEEDS"/*/"{name}"', f'"{into}"'
    else:
        found = f'"$CUPEL_NEEDS"/*/{_glob(used.bare("pattern") or "*")}'
        merged = used.bare("merge-multiple") == "true"
        target = f'"{into}"' if merged else f'"{into}/$(basename "$each")"'
    return (
        f"shopt -s nullglob\nfor each in {found}; do\n"
        f'  mkdir -p {target}\n  cp -a "$each/." {target}\ndone\n'
    )


_GO = _debian("go version", "golang-go gcc libc6-dev", "go-version", "go-version-file")
_RUST = _debian("cargo --version", "cargo rustc gcc libc6-dev", "toolchain", "components")
_ACTIONS: Mapping[str, Callable[[Used], Script]] = {
    "actions/checkout": _checkout,
    "actions/setup-python": _setup_python,
    "actions/setup-node": _setup_node,
    "actions/setup-go": _GO,
    "actions/setup-java": _debian("javac -version", "default-jdk-headless maven", "java-version"),
    "ruby/setup-ruby": _debian("ruby --version", "ruby-full ruby-bundler", "ruby-version"),
    "shivammathur/setup-php": _debian("php --version", "php-cli composer", "php-version"),
    "dtolnay/rust-toolchain": _RUST,
    "actions-rs/toolchain": _RUST,
    "actions-rust-lang/setup-rust-toolchain": _RUST,
    "astral-sh/setup-uv": _uv,
    "hynek/setup-cached-uv": _uv,
    "pnpm/action-setup": _pnpm,
    "actions/cache": _cache,
    "actions/cache/restore": _cache,
    "actions/cache/save": _cache,
    "swatinem/rust-cache": _rust_cache,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
}
NAMES = tuple(_ACTIONS)
