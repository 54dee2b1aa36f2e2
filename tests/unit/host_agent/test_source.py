"""Sources with real git: what a machine would find below /build, and how it got there."""

from __future__ import annotations

import asyncio
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host import source
from cupel.host.messages import BesideSpec, BuildSpec, NeedSpec, SourceSpec


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words]
        done = subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            (self.path / name).write_text(content)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "a change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def build_of(
    repository: Repository, commit: str, ref: str = "refs/heads/main", **fields: object
) -> BuildSpec:
    wanted = SourceSpec(url=str(repository.path), ref=ref, commit=commit, branch="main")
    return BuildSpec(build=1, project="group/p", job="j", source=wanted, steps=(), **fields)  # type: ignore[arg-type]


def check_out(sources: source.Sources, build: BuildSpec, target: Path, machine: int = 1) -> Path:
    """Lay a build out and unpack it as a machine would, with its room where it would be."""
    room = sources.room(machine)
    unpack(asyncio.run(sources.lay_out(machine, build, shared=True)), target)
    sources.discard(machine)
    find(target / "src", room)
    return target / "src"


def unpack(tar: Path, target: Path) -> None:
    with tarfile.open(tar) as packed:
        assert {(member.uid, member.gid) for member in packed} == {(0, 0)}
        packed.extractall(target)


def find(tree: Path, room: Path) -> None:
    """Let a checkout borrow from `room`, which its machine would see below MIRRORS."""
    alternates = tree / ".git" / "objects" / "info" / "alternates"
    alternates.write_text(alternates.read_text().replace(source.MIRRORS, str(room)))


def git(tree: Path, *words: str) -> str:
    command = ["git", "-c", "safe.directory=*", *words]
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_is_a_whole_repository(tmp_path, repository):
    repository.commit(a="1\n")
    repository.git("tag", "-a", "v1", "-m", "one")
    commit = repository.commit(b="2\n", **{".gitattributes": "b export-ignore\n"})
    tree = check_out(source.Sources(tmp_path / "state"), build_of(repository, commit), tmp_path)
    assert git(tree, "rev-parse", "HEAD") == commit
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "describe", "--dirty") == f"v1-1-g{commit[:7]}"
    assert git(tree, "log", "--format=%s") == "a change\na change"
    assert git(tree, "remote") == ""
    assert (tree / "b").read_text() == "2\n"
    git(tree, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "--allow-empty", "-m", "mine")
    git(tree, "fsck", "--connectivity-only")
    (tree / "a").write_text("3\n")
    assert git(tree, "status", "--porcelain") == "M a"


def test_projects_beside_are_checked_out_by_commits_that_have_no_name(tmp_path, repository):
    other = Repository(tmp_path / "other")
    other.git("config", "uploadpack.allowAnySHA1InWant", "true")
    other.commit(a="1")
    nameless = other.commit(a="2")
    other.git("reset", "--quiet", "--hard", "HEAD^")
    wanted = SourceSpec(url=str(other.path), ref=nameless, commit=nameless, branch="main")
    beside = (BesideSpec(project="other", source=wanted),)
    build = build_of(repository, repository.commit(a="mine"), beside=beside)
    sources = source.Sources(tmp_path / "state")
    check_out(sources, build, tmp_path / "build")
    tree = tmp_path / "build" / "projects" / "other"
    find(tree, sources.room(1))
    assert git(tree, "rev-parse", "HEAD") == nameless
    assert git(tree, "status", "--porcelain") == ""
    assert (tree / "a").read_text() == "2"
    assert (tmp_path / "build" / "src" / "a").read_text() == "mine"


def test_a_machine_is_lent_what_its_build_needs_and_nothing_else(tmp_path, repository):
    other = Repository(tmp_path / "other")
    wanted = SourceSpec(url=str(other.path), ref="main", commit=other.commit(a="1"), branch="main")
    sources = source.Sources(tmp_path / "state")
    secret = BuildSpec(build=2, project="secret", job="j", source=wanted, steps=())
    check_out(sources, secret, tmp_path / "two", machine=2)
    tree = check_out(
        sources, build_of(repository, repository.commit(a="2")), tmp_path / "one", machine=1
    )
    assert [path.name for path in sources.room(1).iterdir()] == ["group%2Fp.git"]
    assert [path.name for path in sources.room(2).iterdir()] == ["secret.git"]
    sources.forget(2)
    assert [path.name for path in sources.room(1).parent.iterdir()] == ["1"]
    git(tree, "fsck", "--connectivity-only")


def test_what_is_lent_stays_when_the_mirror_is_repacked(tmp_path, repository):
    sources = source.Sources(tmp_path / "state")
    tree = check_out(sources, build_of(repository, repository.commit(a="1")), tmp_path / "one")
    later = repository.commit(a="2")
    check_out(sources, build_of(repository, later), tmp_path / "two", machine=2)
    mirror = asyncio.run(sources.mirror("group/p"))
    git(mirror, "repack", "-a", "-d", "--quiet")
    git(tree, "fsck", "--connectivity-only")


def test_a_machine_that_shares_nothing_is_sent_the_objects_too(tmp_path, repository):
    sources = source.Sources(tmp_path / "state")
    build = build_of(repository, repository.commit(a="1"))
    unpack(asyncio.run(sources.lay_out(1, build, shared=False)), tmp_path / "build")
    find(tmp_path / "build" / "src", tmp_path / "build" / ".mirrors")
    assert git(tmp_path / "build" / "src", "status", "--porcelain") == ""


def test_a_place_is_made_for_results_and_needs(tmp_path, repository):
    needs = (NeedSpec(job="build (os=a/b)", url="x"), NeedSpec(job="..", url="x"))
    build = build_of(repository, repository.commit(a="1"), needs=needs)
    check_out(source.Sources(tmp_path / "state"), build, tmp_path)
    assert (tmp_path / "results").resolve() == (tmp_path / "artifacts" / ".results").resolve()
    names = {path.name for path in (tmp_path / "needs").iterdir()}
    assert names == {"build (os=a_b)", "__"}
    assert names == set(map(source.directory_of, needs))


def test_a_commit_is_fetched_once(tmp_path, repository):
    commit = repository.commit(a="1\n")
    sources = source.Sources(tmp_path / "state")
    check_out(sources, build_of(repository, commit), tmp_path / "one")
    shutil.rmtree(repository.path)
    check_out(sources, build_of(repository, commit), tmp_path / "two", machine=2)
    assert (tmp_path / "two" / "src" / "a").exists()


def test_a_commit_that_its_ref_has_left_is_fetched_by_itself(tmp_path, repository):
    repository.commit(a="1\n")
    left = repository.commit(a="2\n")
    repository.git("reset", "--quiet", "--hard", "HEAD^")
    repository.git("update-ref", "refs/keep", left)
    tree = check_out(source.Sources(tmp_path / "state"), build_of(repository, left), tmp_path)
    assert (tree / "a").read_text() == "2\n"


def test_a_mirror_whose_git_was_killed_is_mended(tmp_path, repository):
    first = source.Sources(tmp_path / "state")
    check_out(first, build_of(repository, repository.commit(a="1")), tmp_path / "one")
    mirror = asyncio.run(first.mirror("group/p"))
    (mirror / "packed-refs.lock").touch()
    (mirror / "refs" / "mirror" / "main.lock").touch()
    (mirror / "objects" / "pack" / "tmp_pack_x").touch()
    commit = repository.commit(a="2")
    check_out(source.Sources(tmp_path / "state"), build_of(repository, commit), tmp_path / "two")
    assert not list(mirror.rglob("*.lock"))
    assert not list(mirror.rglob("tmp_*"))


def test_a_mirror_that_no_build_has_used_for_long_can_go(tmp_path, repository):
    clock = [0.0]
    sources = source.Sources(tmp_path / "state", now=lambda: clock[0])
    commit = repository.commit(a="1\n")
    tree = check_out(sources, build_of(repository, commit), tmp_path / "one")
    (tmp_path / "state" / "mirrors" / "of%2Fold.git").mkdir()  # left by an earlier life
    assert asyncio.run(sources.prune()) == ["of%2Fold.git"]
    clock[0] = source.IDLE_SECONDS
    assert asyncio.run(sources.prune()) == ["group%2Fp.git"]
    assert list((tmp_path / "state" / "mirrors").iterdir()) == []
    git(tree, "fsck", "--connectivity-only")  # what was borrowed stays
    check_out(sources, build_of(repository, commit), tmp_path / "two", machine=2)
    assert (tmp_path / "two" / "src" / "a").read_text() == "1\n"


def test_packs_are_merged_and_nothing_goes_away(tmp_path, repository, monkeypatch):
    monkeypatch.setattr(source, "_MANY_PACKS", 2)
    sources = source.Sources(tmp_path / "state")
    commits = [repository.commit(a=str(number)) for number in range(5)]
    for number, commit in enumerate(commits):
        repository.git("update-ref", "refs/heads/state", commit)
        build = build_of(repository, commit, "refs/heads/state")
        check_out(sources, build, tmp_path / str(number), number)
    mirror = asyncio.run(sources.mirror("group/p"))
    assert len(list((mirror / "objects" / "pack").glob("*.pack"))) <= 3
    for commit in commits:
        git(mirror, "rev-list", "--objects", commit)


def test_a_mirror_is_readable_for_everybody(tmp_path, repository):
    sources = source.Sources(tmp_path / "state")
    check_out(sources, build_of(repository, repository.commit(a="1")), tmp_path)
    mirror = asyncio.run(sources.mirror("group/p"))
    for path in (*mirror.rglob("*"), *sources.room(1).rglob("*")):
        assert path.stat().st_mode & (0o005 if path.is_dir() else 0o004), path


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives a tar to whoever has the token; it remembers what it was shown."""
    shown: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            good = self.headers["Authorization"] == "Bearer secret"
            self.send_response(200 if good else 403)
            self.end_headers()
            self.wfile.write(b"x" * 600_000 if good else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", shown
        serving.shutdown()
        thread.join()


def fetch(sources: source.Sources, url: str) -> bytes:
    async def read() -> bytes:
        out = io.BytesIO()
        async for piece in sources.needed(NeedSpec(job="build", url=url)):
            out.write(piece)
        return out.getvalue()

    return asyncio.run(read())


def test_needed_artefacts_are_fetched_with_the_token(tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    sources = source.Sources(tmp_path)
    sources.token = "secret"
    assert fetch(sources, f"{server[0]}/tar") == b"x" * 600_000
    sources.token = "wrong"
    with pytest.raises(InfraError, match="artefacts of build could not be fetched"):
        fetch(sources, f"{server[0]}/tar")
    with pytest.raises(InfraError):
        fetch(sources, "http://127.0.0.1:1/")


def test_git_shows_the_token_to_its_server(tmp_path, server, repository, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url, shown = server
    sources = source.Sources(tmp_path / "state")
    sources.token = "told"
    wanted = SourceSpec(url=f"{url}/p.git", ref="refs/heads/x", commit="1" * 40, branch="main")
    build = BuildSpec(build=1, project="p", job="j", source=wanted, steps=())
    with pytest.raises(InfraError) as raised:
        asyncio.run(sources.lay_out(1, build, shared=True))
    assert shown[0] == "Bearer told"
    assert "told" not in str(raised.value)
    assert str(raised.value).startswith("the source of p could not be fetched: fatal: ")
