"""What every provider promises of images that are laid into its machines."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cupel.errors import UserError
from cupel.host.caches.build import Keeping
from cupel.host.caches.store import Caches
from cupel.host.messages import BuildSpec, CacheSpec, MachineSpec, SourceSpec
from cupel.host.providers.interface import Machine, Provider
from integration import provider_contract
from integration.provider_contract import machine_of, run, succeed

LIMIT = 64 << 20
NAME = "7.pip"


def hostile() -> bytes:
    """A tar with what a cache should not hold beside what it may."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, changes in (
            (".", tarfile.DIRTYPE, {"mode": 0o755}),
            ("deep", tarfile.DIRTYPE, {"mode": 0o700, "uid": 1000, "gid": 1000}),
            ("deep/mine", tarfile.REGTYPE, {"mode": 0o640, "uid": 1000, "gid": 1000}),
            ("root", tarfile.REGTYPE, {"mode": 0o6755}),
            ("again", tarfile.LNKTYPE, {"linkname": "root"}),
            ("disk", tarfile.BLKTYPE, {"devmajor": 8, "devminor": 0, "mode": 0o666}),
            ("null", tarfile.CHRTYPE, {"mode": 0o666}),
            ("pipe", tarfile.FIFOTYPE, {"mode": 0o666}),
            ("out", tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            for key, value in changes.items():
                setattr(member, key, value)
            if kind == tarfile.REGTYPE:
                member.size = 4
                tar.addfile(member, io.BytesIO(b"text"))
            else:
                tar.addfile(member)
    return buffer.getvalue()


async def copied(machine: Machine, path: str) -> AsyncIterator[bytes]:
    async for piece in machine.copy_out(path):
        yield piece


class CacheContract:
    """To be inherited by the tests of a provider."""

    def provider(self, state: Path) -> Provider:
        raise NotImplementedError

    def spec(self) -> MachineSpec:
        raise NotImplementedError

    def test_what_one_machine_leaves_another_has_and_changes_for_itself(
        self, tmp_path: Path
    ) -> None:
        async def scenario(provider: Provider) -> None:
            caches = Caches(tmp_path / "caches")
            async with machine_of(provider, self.spec()) as one:
                await succeed(one, "mkdir -p /root/.cache/a /root/b; cd /root/.cache/a; "
                                   "echo one >f; ln f g; ln -s f h; chown 1000:1000 f; mkdir d; "
                                   "chmod 700 d; echo b >/root/b/b")  # fmt: skip
                left = [copied(one, "/root/.cache/a"), copied(one, "/root/b")]
                await caches.save(NAME, left, limit=LIMIT)
            image = caches.find(NAME)
            assert image is not None
            before = image.read_bytes()
            for number in (2, 3):
                async with machine_of(provider, self.spec(), number) as other:
                    await other.lay(image, ["/root/.cache/a", "/build/src/b"])
                    seen = (
                        "cd /root/.cache/a; cat f g h /build/src/b/b; "
                        "stat -c '%u:%g %h' f; stat -c %a d"
                    )
                    assert await succeed(other, seen) == "one\none\none\nb\n1000:1000 2\n700\n"
                    await succeed(
                        other, "cd /root/.cache/a; echo two >>f; rm -r d g; mkdir e; mv h e"
                    )
                    assert (
                        await succeed(other, "cd /root/.cache/a; cat e/../f; ls")
                        == "one\ntwo\ne\nf\n"
                    )
            assert image.read_bytes() == before

        provider_contract.play(self.provider, tmp_path / "state", scenario)

    def test_one_that_is_removed_stays_with_the_machine_that_has_it(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            caches = Caches(tmp_path / "caches")
            await caches.save(NAME, [provider_contract.pieces(hostile())], limit=LIMIT)
            image = caches.find(NAME)
            assert image is not None
            async with machine_of(provider, self.spec()) as machine:
                await machine.lay(image, ["/root/.cache/pip"])
                caches.remove(NAME)
                assert caches.find(NAME) is None
                assert await succeed(machine, "cat /root/.cache/pip/root") == "text"

        provider_contract.play(self.provider, tmp_path / "state", scenario)

    def test_it_gives_no_rights_and_leads_nowhere(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            caches = Caches(tmp_path / "caches")
            await caches.save(NAME, [provider_contract.pieces(hostile())], limit=LIMIT)
            image = caches.find(NAME)
            assert image is not None
            async with machine_of(provider, self.spec()) as machine:
                await machine.lay(image, ["/root/.cache/pip"])
                there = await succeed(
                    machine, "cd /root/.cache/pip; ls; stat -c %a root again deep"
                )
                assert there == "again\ndeep\nout\nroot\n755\n755\n700\n"
                assert await succeed(machine, "grep ^root: /root/.cache/pip/out") != ""
                await succeed(machine, "chmod 4755 /root/.cache/pip/root")
                options = await succeed(machine, "grep ' /root/.cache/pip ' /proc/self/mounts")
                assert "nosuid" in options
                assert "nodev" in options

        provider_contract.play(self.provider, tmp_path / "state", scenario)

    def test_a_build_saves_what_it_has_changed_and_nothing_else(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            caches = Caches(tmp_path / "caches")
            spec = CacheSpec(name="c", paths=("c", "/root/.c"), save="1.c", limit=LIMIT)
            async with machine_of(provider, self.spec()) as machine:
                lines = await said(machine, caches, spec, script="cd /build/src; ls")
                assert lines[1] == "cache c: not saved: there is no directory c or /root/.c"
                lines = await said(
                    machine, caches, spec, script="mkdir /build/src/c; touch /build/src/c/a"
                )
                assert lines[0] == "cache c: nothing is there to restore"
                assert lines[1].startswith("cache c: saved, ")
            again = CacheSpec(
                name="c", paths=spec.paths, restore="1.c", origin=1, exact=True, save="2.c",
                if_changed=True, limit=LIMIT,
            )  # fmt: skip
            for number, script, what in (
                (2, "cat /build/src/c/a", "not saved: nothing has changed in it"),
                (3, "rm /build/src/c/a", "saved, "),
            ):
                async with machine_of(provider, self.spec(), number) as machine:
                    lines = await said(machine, caches, again, script=f"sleep 0.02; {script}")
                    assert lines[0].startswith("cache c: restored from build 1, ")
                    assert lines[1].startswith(f"cache c: {what}")
            assert caches.names() == ("1.c", "2.c")

        provider_contract.play(self.provider, tmp_path / "state", scenario)

    def test_a_path_through_a_link_is_refused(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            caches = Caches(tmp_path / "caches")
            await caches.save(NAME, [provider_contract.pieces(hostile())], limit=LIMIT)
            image = caches.find(NAME)
            assert image is not None
            async with machine_of(provider, self.spec()) as machine:
                await succeed(machine, "mkdir -p /build/src; ln -s /etc /build/src/x")
                with pytest.raises(UserError, match="symbolic link"):
                    await machine.lay(image, ["/build/src/x"])
                assert (await run(machine, "test -e /etc/passwd"))[0] == 0

        provider_contract.play(self.provider, tmp_path / "state", scenario)


async def said(machine: Machine, caches: Caches, *specs: CacheSpec, script: str) -> list[str]:
    """What the log of a build says of its caches that runs a script between."""
    lines: list[str] = []

    async def tell(line: str) -> None:
        lines.append(line)

    source = SourceSpec(url="", ref="", commit="", branch="main")
    build = BuildSpec(build=1, project="p", job="j", source=source, steps=(), caches=specs)
    keeping = Keeping(machine, build, caches, tell)
    await succeed(machine, "mkdir -p /build/src")
    await keeping.restore()
    await succeed(machine, script)
    await keeping.save()
    return lines
