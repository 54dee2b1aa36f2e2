"""The attempts to escape have teeth: each gets through where nothing holds it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cupel.host.providers.inside import landlock
from cupel.host.providers.interface import Machine
from cupel.host.providers.namespace import NamespaceProvider, launcher
from cupel.host.providers.namespace.machine import NamespaceMachine
from integration import escape_contract, escapes, images
from integration.escape_contract import Verdict
from integration.provider_contract import machine_of
from integration.test_provider_namespace import on_machine, on_provider

pytestmark = pytest.mark.e2e

SOURCES = Path(escapes.__file__).parents[2] / "src" / "cupel"
LOOSENED = (
    (
        "confine.py",
        r"(?s)(def for_good\(\*, keep_core_limit: bool\) -> None:\n).*",
        r"\1    pass\n",
    ),
    ("init.py", r'    syscalls\.offer\("/proc/sys/user/max_user_namespaces", "0"\)\n', ""),
)
"""What makes a machine confine nothing: patterns in files of `inside`, and what replaces them."""


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    images.ensure()


def toothed(where: str) -> list[escapes.Attempt]:
    both = (*escapes.ATTEMPTS, *escapes.BOMBS)
    return [what for what in both if what.teeth == where]


def test_each_attempt_says_where_it_is_seen_to_succeed_or_why_nowhere() -> None:
    both = (*escapes.ATTEMPTS, *escapes.BOMBS)
    assert len(both) >= 60
    assert len({what.name for what in both}) == len(both)
    for what in both:
        assert what.teeth in ("loose", "root", "host", "large") or what.teeth.startswith("- "), (
            what.name
        )
    blunt = [what.name for what in both if what.teeth.startswith("- ")]
    assert len(blunt) < len(both) / 5, blunt


def test_a_machine_that_confines_nothing_lets_them_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_SOURCES", loosened(tmp_path / "src"))
    found: dict[str, Verdict] = {}
    # The one that takes the root away comes last.
    several = sorted(toothed("loose"), key=lambda what: what.name == "pivot to another root")

    async def scenario(provider: NamespaceProvider) -> None:
        async with machine_of(provider, images.machine_spec()) as machine:
            found.update(await escape_contract.attempts(machine, several, {}))

    on_provider(tmp_path / "state", scenario)
    seen_to_succeed(found)


@pytest.mark.parametrize("loose", [False, True])
def test_a_descriptor_of_the_hosts_that_leaks_inside_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loose: bool
) -> None:
    """As in runc's CVE-2024-21626. Here one leaks on purpose, as the stdin of a process."""
    if landlock.version() < landlock.OLDEST:
        pytest.skip("there is no Landlock in this kernel")
    if loose:
        monkeypatch.setattr(launcher, "_SOURCES", loosened(tmp_path / "src"))
    said = bytearray()

    async def scenario(machine: Machine) -> None:
        assert isinstance(machine, NamespaceMachine)
        leak = os.open(Path(told["secret"]).parent, os.O_RDONLY)
        argv = ["cat", "/proc/self/fd/0/secret"]
        process = await machine._exec(argv, env={}, cwd="/", stdin=leak)
        async for _, data in process.output():
            said.extend(data)

    with escape_contract.baited() as (_, told):
        on_machine(tmp_path / "state", scenario)
    expected = b"the host's" if loose else b"Permission denied"
    assert expected in said


ABSENT = re.compile(r"\[Errno (2|6|19|38|95|97)\]")
"""Errors of a kernel that does not have what an attempt aims at."""


def seen_to_succeed(found: dict[str, Verdict]) -> None:
    held = {name: how for name, how in found.items() if how.word != "ESCAPED"}
    absent = [name for name, how in held.items() if ABSENT.search(how.text)]
    assert len(absent) < len(found) / 5, absent
    wrong = {name: how for name, how in held.items() if name not in absent}
    assert not wrong, escape_contract.listed(wrong)


def loosened(target: Path) -> Path:
    """A copy of what runs inside machines, without what confines it."""
    inside = target / "cupel/host/providers/inside"
    shutil.copytree(SOURCES / "host/providers/inside", inside)
    for package in (target / "cupel", target / "cupel/host", target / "cupel/host/providers"):
        (package / "__init__.py").touch()
    for name, pattern, replacement in LOOSENED:
        text, count = re.subn(pattern, replacement, (inside / name).read_text())
        assert count == 1, f"{name} has no longer what is to be loosened"
        (inside / name).write_text(text)
    return target


def test_root_of_the_host_gets_through(tmp_path: Path) -> None:
    """In a mount namespace of its own, so that nothing which is mounted stays."""
    found: dict[str, Verdict] = {}
    with escape_contract.baited() as (host, told):
        told |= {"shown": str(host.shown), "neighbour": told["port"]}
        for what in (*toothed("root"), *toothed("host")):
            scratch = tmp_path / f"scratch-{len(found)}"
            scratch.mkdir()
            found[what.name] = as_root(what, told, scratch)
    seen_to_succeed(found)


def as_root(what: escapes.Attempt, told: dict[str, str], scratch: Path) -> Verdict:
    program = what.program.replace("/build", str(scratch))
    arguments = [f"{name}={value}" for name, value in told.items()]
    own = ["--pid", "--fork", "--kill-child", "--mount-proc"] if what.teeth == "root" else []
    # A shell is process 1 there, as an init would be.
    done = subprocess.run(
        ["unshare", "--mount", "--uts", *own, "sh", "-c", '"$@"; exit', "sh",
         sys.executable, "-I", "-c", program, *arguments],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return escape_contract.verdict(what, done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_larger_machine_takes_what_a_small_one_refuses(tmp_path: Path) -> None:
    found: dict[str, Verdict] = {}

    async def scenario(machine: Machine) -> None:
        for what in toothed("large"):
            found[what.name] = await escape_contract.attempt(machine, what, {})
            await escape_contract.sweep(machine)

    async def whole(provider: NamespaceProvider) -> None:
        spec = images.machine_spec(pids=2000, memory=2 << 30, disk=1 << 30)
        async with machine_of(provider, spec) as machine:
            await scenario(machine)

    on_provider(tmp_path, whole)
    seen_to_succeed(found)
