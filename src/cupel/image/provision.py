"""Finishes an image on a single-use machine, and tests it on another."""

from __future__ import annotations

import collections
import io
import os
import re
import shlex
import shutil
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path, PurePosixPath

from cupel.config.image import FileConfig, ImageConfig
from cupel.errors import InfraError
from cupel.image import base, prefetch, tree
from cupel.image.workshop import Bench, Machine, Workshop

Tell = Callable[[str], None]

_LONGEST_WHY = 1000
_REMEMBERED = 500
"""Of the lines that a script printed, for the reason why it failed."""

_ENVIRONMENT = {
    # For what writes the time into files, if asked politely not to.
    "SOURCE_DATE_EPOCH": str(tree.EPOCH),
    "PYTHONHASHSEED": "0",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_CERTIFICATES = "usr/sbin/update-ca-certificates"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

_PACKAGES = """\
command -v apt-get >/dev/null || {{
  echo 'packages: the base has no apt-get; install them in steps' >&2; exit 1
}}
apt-get update -qq
apt-get install -y -qq --no-install-recommends {packages}
rm -rf /var/lib/apt/lists/*
"""

_PLAYBOOK = """\
python3 -m venv /tmp/ansible || {{
  echo 'playbook: the image needs python3 and python3-venv' >&2; exit 1
}}
/tmp/ansible/bin/pip install --quiet --no-cache-dir --disable-pip-version-check ansible-core
printf '%s' {playbook} > /tmp/playbook.yml
export ANSIBLE_HOME=/tmp/ansible/home ANSIBLE_NOCOLOR=1
/tmp/ansible/bin/ansible-playbook --connection local --inventory localhost, \\
  --extra-vars ansible_python_interpreter=/usr/bin/python3 /tmp/playbook.yml
rm -rf /tmp/ansible /tmp/playbook.yml
"""

# The machine's own bundle of certificates lies over the image's: made again from the image's own.
_FINISH = """\
if command -v update-ca-certificates >/dev/null; then update-ca-certificates >/dev/null 2>&1; fi
mkdir -p /build
"""

_PACK = (
    "tar", "--create", "--file=-", "--directory=/", "--one-file-system", "--numeric-owner",
    "--xattrs", "--xattrs-include=*", "--exclude=./dev", "--exclude=./proc", "--exclude=./sys",
    "--exclude=./tmp/*", "--exclude=./build/*", ".",
)  # fmt: skip


async def provision(
    image: ImageConfig, rootfs: Path, scratch: Path, workshop: Workshop, tell: Tell
) -> None:
    """Do to the base in `rootfs` all that its definition says, on a machine; `rootfs` is replaced.

    Raises `InfraError` with what failed; the log has the rest.
    """
    tar = scratch / "provisioned.tar"
    async with workshop.bench(rootfs, None, scratch / "bench", image, network=True) as bench:
        for what, script in _work(image):
            tell(f"== {what}")
            await _succeed(bench.machine, what, script, tell)
        if image.files:
            tell("== files")
            await bench.machine.copy_in(_packed(image.files), "/")
        for number, step in enumerate(image.steps, 1):
            await _run_step(bench.machine, f"step {number}", step, tell)
        if image.playbook is not None:
            script = _PLAYBOOK.format(playbook=shlex.quote(image.playbook))
            tell("== playbook")
            await _succeed(bench.machine, "the playbook", script, tell, _why_of_playbook)
        await _succeed(bench.machine, "finishing", _FINISH, tell)
        await _copy_out(bench.machine, tar)
    finished = scratch / "finished"
    await base.unpack(tar, finished)
    tar.unlink()
    for name in ("dev", "proc", "sys"):
        (finished / name).mkdir(mode=0o755)
    _uncover(bench, rootfs, finished)
    shutil.rmtree(rootfs)
    finished.rename(rootfs)


async def test(
    image: ImageConfig,
    rootfs: Path,
    file: Path | None,
    scratch: Path,
    workshop: Workshop,
    tell: Tell,
) -> None:
    """Run the tests of an image on a fresh machine of it, without a network."""
    async with workshop.bench(rootfs, file, scratch / "bench", image, network=False) as bench:
        for number, script in enumerate(image.tests, 1):
            await _run_step(bench.machine, f"test {number}", script, tell)


def _work(image: ImageConfig) -> list[tuple[str, str]]:
    late = image.packages if image.suite is None else ()
    packages = [("packages", _PACKAGES.format(packages=shlex.join(late)))] if late else []
    return [
        *packages,
        *((f"prefetch {name}", text) for name, text in prefetch.scripts(image.prefetch)),
    ]


def _last(said: Sequence[str]) -> str | None:
    return next((line for line in reversed(said) if line.strip()), None)


def _why_of_playbook(said: Sequence[str]) -> str | None:
    """The task that failed last and how, which Ansible follows by a summary."""
    task, why = "", None
    for line in said:
        if found := re.match(r"(?:TASK|RUNNING HANDLER) (\[.*\])", line):
            task = f"task {found[1]}: "
        elif line.startswith(("fatal: ", "ERROR! ")) or (line.startswith("[ERROR]: ") and not why):
            why = f"{task}{line}"[:_LONGEST_WHY]
    return why or _last(said)


async def _run_step(machine: Machine, what: str, script: str, tell: Tell) -> None:
    tell(f"== {what}: {script.strip().splitlines()[0]}")
    await _succeed(machine, f"{what} ({script.strip().splitlines()[0][:200]})", script, tell)


async def _succeed(
    machine: Machine,
    what: str,
    script: str,
    tell: Tell,
    why: Callable[[Sequence[str]], str | None] = _last,
) -> None:
    """Run a script. Raises `InfraError` with what `why` finds in the last lines that it printed."""
    process = await machine.exec(
        ["/bin/bash", "-eo", "pipefail", "-c", script], env=_ENVIRONMENT, cwd="/"
    )
    said: collections.deque[str] = collections.deque(maxlen=_REMEMBERED)
    pending = b""
    async for _, data in process.output():
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            said.append(line.decode(errors="replace"))
            tell(said[-1])
    if pending:
        said.append(pending.decode(errors="replace"))
        tell(said[-1])
    status = await process.wait()
    if status != 0:
        raise InfraError(f"{what} failed with status {status}", hint=why(said))


async def _packed(files: tuple[FileConfig, ...]) -> AsyncIterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            data = file.content.encode()
            member.size, member.mode, member.mtime = len(data), file.mode, tree.EPOCH
            tar.addfile(member, io.BytesIO(data))
    yield buffer.getvalue()


async def _copy_out(machine: Machine, target: Path) -> None:
    process = await machine.exec(_PACK, env={"LANG": "C.UTF-8"}, cwd="/")
    errors = bytearray()
    with target.open("wb") as file:
        async for stream, data in process.output():
            if stream == "out":
                file.write(data)
            else:
                errors += data[:4096]
    if await process.wait() != 0:
        raise InfraError(
            "the image can't be packed on its machine",
            hint=f"it needs GNU tar: {errors.decode(errors='replace').strip()[-1000:]}",
        )


def _uncover(bench: Bench, before: Path, after: Path) -> None:
    """Put the image's own files back where the machine's lay over them."""
    for path in bench.laid_over:
        if path == _BUNDLE and (after / _CERTIFICATES).is_file():
            continue
        target, original = after / path, before / path
        if _is_within(after, path):
            target.unlink(missing_ok=True)
            if _is_within(before, path) and original.exists():
                shutil.copy2(original, target)
                status = original.stat()
                os.chown(target, status.st_uid, status.st_gid)


def _is_within(root: Path, path: str) -> bool:
    """Whether a file's place is really in a tree: no link on the way may lead out of it."""
    parts = PurePosixPath(path).parts
    parents = [root.joinpath(*parts[:count]) for count in range(1, len(parts))]
    return (
        all(parent.is_dir() and not parent.is_symlink() for parent in parents)
        and not (root / path).is_symlink()
    )
