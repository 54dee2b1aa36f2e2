"""What a build is given from the server: its source tree, and the artefacts of what it needs.

A project has a bare mirror on the host, into which each commit is fetched once. A build finds in
`/build` a checkout whose `.git` borrows the mirror's objects, and likewise those of the projects
beside. All of that is laid out on the host and streamed in as one tar, so an image needs no git.

What is borrowed lies below `MIRRORS`. A machine is made before anybody knows what will run on it,
so it is given a directory of its own, which is empty, and whose packs are hard links of the
mirrors' that come when the build does: no build sees a project that it has nothing to do with.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ipaddress
import os
import shutil
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from cupel import process
from cupel.errors import InfraError
from cupel.host.messages import BuildSpec, NeedSpec, SourceSpec

MIRRORS = "/build/.mirrors"
FETCH_SECONDS = 900.0
TOOL_SECONDS = 300.0

_LENT = PurePosixPath(MIRRORS).name
_PIECE = 256 << 10
_MANY_PACKS = 40
"""Packs in a mirror from which on git should merge them: every object lookup tries each."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "GIT_SSL_CAINFO")

IDLE_SECONDS = 3600.0
"""A mirror that no build has used for so long goes when the disk is nearly full."""

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
\tcheckStat = minimal
[gc]
\tauto = 0
"""
# checkStat: inode numbers and times of change differ from those on the host, where the index was
# written; size and time of modification do not, and suffice to spare git from reading every file.


class Sources:
    """The mirrors and checkouts below `state`. `token` is a bearer token for the server.

    `now` is a clock that only goes forward, in seconds.
    """

    def __init__(
        self,
        state: Path,
        *,
        now: Callable[[], float] = time.monotonic,
        spare: Collection[int] = (),
    ) -> None:
        self.token = ""
        self._now = now
        self._mirrors = state / "mirrors"
        self._work = state / "checkouts"
        self._lent = state / "lent"
        self._sound: set[str] = set()
        """Projects whose mirrors were made, or mended, in this life."""
        self._fetched: collections.defaultdict[str, set[str]] = collections.defaultdict(set)
        """By project, the commits that are known to be in its mirror."""
        self._tags: dict[str, bytes] = {}
        """By project, its tags as of the last fetch, as a packed-refs file."""
        self._locks: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(
            asyncio.Lock
        )
        self._uses: collections.Counter[Path] = collections.Counter()
        """How many checkouts are being made of a mirror."""
        self._used_at: dict[Path, float] = {}
        lent = self._lent.iterdir() if self._lent.is_dir() else ()
        spared = {str(number) for number in spare}
        for left in (self._work, *lent):  # by an earlier life
            if left.name not in spared:
                shutil.rmtree(left, ignore_errors=True)

    async def mirror(self, project: str) -> Path:
        """The project's mirror, made if it is not there yet."""
        path = self._mirrors / _file_name(project)
        async with self._locks[project]:
            if project not in self._sound:
                path.mkdir(parents=True, exist_ok=True)
                _unlock(path)  # a git that was killed with its build may have been at this as well
                # Machines read it as other users, whatever the umask of this process is.
                await _git("init", "--quiet", "--bare", "--shared=0644", str(path))
                self._sound.add(project)
        return path

    def room(self, machine: int) -> Path:
        """A directory to show the machine at `MIRRORS`; its build's objects will appear there."""
        return _readable(self._lent / str(machine))

    async def lay_out(self, machine: int, build: BuildSpec, *, shared: bool) -> Path:
        """A tar file of what belongs into `/build`; `discard` it. Raises `InfraError`.

        It holds `src`, `projects` with a checkout per project beside, `needs` with a directory per
        job, `artifacts`, and `results`, which is a link to `artifacts/.results` so that both come
        out as one. The objects are in the machine's `room` if that is `shared` with it, else in
        the tar too.
        """
        root = self._work / str(machine)
        tree = root / "build"
        lent = self.room(machine) if shared else tree / _LENT
        await self._check_out(build.project, build.source, tree / "src", lent)
        (tree / "projects").mkdir()
        for each in build.beside:
            target = tree / "projects" / each.project
            await self._check_out(each.project, each.source, target, lent)
        (tree / "artifacts" / ".results").mkdir(parents=True)
        (tree / "results").symlink_to("artifacts/.results")
        for need in build.needs:
            (tree / "needs" / directory_of(need)).mkdir(parents=True, exist_ok=True)
        (tree / "needs").mkdir(exist_ok=True)
        return await _pack(root, tree)

    def discard(self, machine: int) -> None:
        """Remove what was laid out for a machine and has been copied into it. Repeatable."""
        shutil.rmtree(self._work / str(machine), ignore_errors=True)

    def forget(self, machine: int) -> None:
        """Remove all that is kept for a machine. Repeatable."""
        self.discard(machine)
        shutil.rmtree(self._lent / str(machine), ignore_errors=True)

    async def prune(self) -> list[str]:
        """Remove the mirrors that were not used lately; their names. They are made again.

        What builds have borrowed of them stays: those are links.
        """
        mirrors = [*self._mirrors.iterdir()] if self._mirrors.is_dir() else []
        since = self._now() - IDLE_SECONDS
        idle = [
            each
            for each in mirrors
            if not self._uses[each] and self._used_at.get(each, since) <= since
        ]
        return [each.name for each in idle if await self._remove(each)]

    async def _remove(self, mirror: Path) -> bool:
        project = urllib.parse.unquote(mirror.name.removesuffix(".git"))
        async with self._locks[project]:
            if self._uses[mirror]:  # by a build that has begun meanwhile
                return False
            self._sound.discard(project)
            self._fetched.pop(project, None)
            self._tags.pop(project, None)
            await asyncio.to_thread(shutil.rmtree, mirror, ignore_errors=True)
        return True

    @contextlib.contextmanager
    def _using(self, mirror: Path) -> Iterator[None]:
        self._uses[mirror] += 1
        try:
            yield
        finally:
            self._uses[mirror] -= 1
            self._used_at[mirror] = self._now()

    async def needed(self, need: NeedSpec) -> AsyncIterator[bytes]:
        """The tar stream of a needed job's artefacts. Raises `InfraError`."""
        import httpx2

        client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=not is_here(need.url),
            timeout=60.0,
        )
        try:
            async with client, client.stream("GET", need.url) as response:
                response.raise_for_status()
                async for piece in response.aiter_bytes(_PIECE):
                    yield piece
        except httpx2.HTTPError as error:
            raise InfraError(
                f"the artefacts of {need.job} could not be fetched: {error}"
            ) from error

    async def _check_out(self, project: str, source: SourceSpec, tree: Path, lent: Path) -> None:
        """A checkout at `tree`, of which the objects are linked below `lent`."""
        with self._using(self._mirrors / _file_name(project)):
            await self._check_out_of(await self.mirror(project), project, source, tree, lent)

    async def _check_out_of(
        self, mirror: Path, project: str, source: SourceSpec, tree: Path, lent: Path
    ) -> None:
        await self._fetch(mirror, project, source, lent / _file_name(project))
        git = tree / ".git"
        for directory in (git / "objects" / "info", git / "refs" / "heads", git / "refs" / "tags"):
            directory.mkdir(parents=True)
        await _git(
            *(f"--git-dir={mirror}", f"--work-tree={tree}"),
            *("read-tree", "-m", "-u", source.commit),
            config={"core.bare": "false"},
            env={"GIT_INDEX_FILE": str(git / "index")},
        )
        if project not in self._tags:
            self._tags[project] = await _tags(mirror)
        (git / "HEAD").write_text(f"{source.commit}\n")
        (git / "config").write_text(_CONFIG)
        (git / "objects" / "info" / "alternates").write_text(
            f"{MIRRORS}/{_file_name(project)}/objects\n"
        )
        (git / "packed-refs").write_bytes(self._tags[project])

    async def _fetch(self, mirror: Path, project: str, source: SourceSpec, lent: Path) -> None:
        """Bring the commit into the mirror, and lend what the mirror has at `lent`."""
        async with self._locks[project]:
            known = self._fetched[project]
            if source.commit not in known:
                if not await _has(mirror, source.commit):
                    await self._fetch_commit(mirror, project, source)
                known.add(source.commit)
            _link_packs(mirror, lent)

    async def _fetch_commit(self, mirror: Path, project: str, source: SourceSpec) -> None:
        branch = urllib.parse.quote(source.branch, safe="/")
        # By its id: its ref may have moved on. A ref per branch of ours is enough for git to know
        # what it need not fetch again.
        wanted = (f"+{source.commit}:refs/mirror/{branch}", "+refs/tags/*:refs/tags/*")
        await self._fetch_refs(mirror, project, source.url, *wanted)
        self._tags.pop(project, None)
        if len(list((mirror / "objects" / "pack").glob("*.pack"))) > _MANY_PACKS:
            await _git(f"--git-dir={mirror}", "repack", "-d", "--quiet", "--geometric=2")

    async def _fetch_refs(self, mirror: Path, project: str, url: str, *wanted: str) -> None:
        config = {
            "http.extraHeader": f"Authorization: Bearer {self.token}",
            "http.followRedirects": "false",  # the token is for the server alone
            "fetch.unpackLimit": "1",  # a pack comes into being whole or not at all
            "gc.auto": "0",  # what is to be merged is decided below
            "maintenance.auto": "false",
        }
        if is_here(url):
            config["http.proxy"] = ""
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        try:
            await _git(
                *(f"--git-dir={mirror}", "fetch", *flags, "--", url, *wanted),
                config=config,
                timeout=FETCH_SECONDS,
            )
        except InfraError as error:
            # The command is in the log; who waits for the build wants to know what git said.
            said = (error.hint or error.message).strip().splitlines()[-1]
            raise InfraError(f"the source of {project} could not be fetched: {said}") from error


def _readable(path: Path) -> Path:
    """A directory that machines read as other users, whatever the umask of this process is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    return path


def _link_packs(mirror: Path, lent: Path) -> None:
    """Everything that the mirror has is in packs, which never change, only come and go."""
    packs = _readable(_readable(_readable(lent) / "objects") / "pack")
    for file in (mirror / "objects" / "pack").iterdir():
        target = packs / file.name
        if not target.exists():
            os.link(file, target)


def _file_name(project: str) -> str:
    return f"{urllib.parse.quote(project, safe='')}.git"


def directory_of(need: NeedSpec) -> str:
    """The name of a needed job's directory below $CUPEL_NEEDS."""
    return need.job.replace("/", "_") if need.job.strip(".") else need.job.replace(".", "_")


async def read(path: Path) -> AsyncIterator[bytes]:
    """The pieces of a file."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _unlock(mirror: Path) -> None:
    """Remove what a git that was killed left behind: locks, and packs it had not finished."""
    for left in (*mirror.glob("*.lock"), *mirror.glob("refs/**/*.lock")):
        left.unlink()
    for left in (mirror / "objects" / "pack").glob("tmp_*"):
        left.unlink()


async def _has(mirror: Path, commit: str) -> bool:
    words = (f"--git-dir={mirror}", "cat-file", "-e", f"{commit}^{{commit}}")
    return await _git(*words, check=False) is not None


async def _tags(mirror: Path) -> bytes:
    """The mirror's tags as a packed-refs file."""
    form = "%(objectname) %(refname)%(if)%(*objectname)%(then)%0a^%(*objectname)%(end)"
    listed = await _git(f"--git-dir={mirror}", "for-each-ref", f"--format={form}", "refs/tags")
    return b"# pack-refs with: peeled fully-peeled sorted \n" + (listed or b"")


async def _pack(root: Path, tree: Path) -> Path:
    tar = root / "build.tar"
    names = sorted(each.name for each in tree.iterdir())
    owner = ("--owner=root:0", "--group=root:0", "--numeric-owner", "--format=gnu")
    await process.run(
        ["tar", "-cf", tar, *owner, "-C", tree, *names], env=_environment(), timeout=TOOL_SECONDS
    )
    await asyncio.to_thread(shutil.rmtree, tree)
    return tar


async def _git(
    *words: str,
    config: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TOOL_SECONDS,
    check: bool = True,
) -> bytes | None:
    """What a git command prints; None when it fails and that is no error.

    Configuration goes through the environment, where other users of the host cannot read it.
    """
    settings = {"safe.directory": "*", **(config or {})}
    whole = {**_environment(), **(env or {}), "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        whole |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    result = await process.run(("git", *words), env=whole, timeout=timeout, check=check)
    return result.out if result.exit_status == 0 else None


def _environment() -> dict[str, str]:
    """A clean environment for a tool: none of the configuration of whoever started Cupel."""
    kept = (name for each in _PROXIES for name in (each, each.upper()) if name in os.environ)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **{name: os.environ[name] for name in kept},
    }


def is_here(url: str) -> bool:
    """Whether a URL leads to this computer, where no proxy should be asked."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
