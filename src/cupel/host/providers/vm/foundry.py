"""Makes templates: boots a machine, lets it rehearse what its clones will do, and saves it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from pathlib import Path

from cupel import logger
from cupel.errors import InfraError
from cupel.host.providers.inside import rootfs
from cupel.host.providers.namespace.machine import ENVIRONMENT
from cupel.host.providers.namespace.place import Place
from cupel.host.providers.vm import booted, qemu, renewal
from cupel.host.providers.vm.accelerator import Verdicts
from cupel.host.providers.vm.ground import Ground
from cupel.host.providers.vm.machine import Identity
from cupel.host.providers.vm.qemu import Accelerator, Shape
from cupel.host.providers.vm.running import Running
from cupel.host.providers.vm.starter import Starter
from cupel.host.providers.vm.templates import Key, Template, Templates
from cupel.image.system import System

log = logger.of(__name__)

BOOT_SECONDS = 240.0
"""For a whole boot under emulation, on a host that is busy."""
PROOF_SECONDS = 10.0
"""For a boot under KVM: where it works it takes one."""
_PROOF_MEMORY = 256 << 20
TEMPLATE = 0
"""The machine number of templates while they are made; real ones begin at 1."""
_WARM = "tar --version; mkdir --version; id; ls -l /; cat /proc/mounts; command -v git python3; "
_WARM += "bash -c true; sync"
"""What a template does before it is saved, so that clones find it in memory."""
_TIMES = 20
_REST = 2.0
"""Seconds for a template's kernel to finish what it does later, or each clone would."""


class Foundry:
    """The templates in a directory, made as they are wanted, one at a time."""

    def __init__(self, directory: Path, place: Place, starter: Starter, verdicts: Verdicts) -> None:
        self._place = place
        self._starter = starter
        self._verdicts = verdicts
        self._templates = Templates(directory)
        self._booting = asyncio.Lock()

    @property
    def is_at_work(self) -> bool:
        return self._booting.locked()

    def has(self, key: Key) -> bool:
        return self._templates.has(key)

    async def template(self, key: Key, ground: Ground) -> Template:
        """The template of a key; of the emulated sister of it where KVM turns out not to work."""
        if key.shape.accelerator is Accelerator.KVM:
            key = await self._prove(key, ground)
        return await self._templates.get(
            key, functools.partial(self._make, key, ground, BOOT_SECONDS)
        )

    async def accelerator(self, ground: Ground) -> Accelerator:
        """What runs a system that nothing is known of: KVM where our own kernel proves it."""
        if self._is_to_be_proved:
            async with self._booting:
                if self._is_to_be_proved:  # others may have waited for the same
                    self._verdicts.write(works=await self._boots(ground))
        return self._verdicts.accelerator

    @property
    def _is_to_be_proved(self) -> bool:
        return self._verdicts.is_open and self._verdicts.accelerator is Accelerator.KVM

    async def _boots(self, ground: Ground) -> bool:
        """Whether a kernel comes as far under KVM as to miss its root."""
        kernel = System(kernel=ground.kernel.image, append="console=ttyS0 panic=-1")
        shape = Shape(cpus=1, memory=_PROOF_MEMORY, accelerator=Accelerator.KVM, image_format="")
        identity = Identity(image="", shape=shape, env=(), cpus=1, pids=0)
        argv = qemu.booting(ground.program, shape, kernel, network=False)
        await self._starter.clear(TEMPLATE)
        directory = self._starter.directory(TEMPLATE)
        running = self._starter.running(TEMPLATE)
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                shown = await booted.lay_out(kernel, directory, _PROOF_MEMORY)
                await self._starter.stand(TEMPLATE, running, identity, argv, shown)
                console = running.console.listen()
                await running.control.execute("cont")
                async for _ in console:
                    continue
        except (TimeoutError, InfraError) as error:
            log.warning("KVM does not work here", error=str(error) or "it takes too long")
        finally:
            running.hang_up()
            await asyncio.shield(self._starter.clear(TEMPLATE))
        return "Kernel panic" in running.console.tail

    async def _prove(self, key: Key, ground: Ground) -> Key:
        """Prove KVM by a boot, once; the key of what can be had here."""
        if not self._verdicts.is_open:
            return key
        make = functools.partial(self._make, key, ground, PROOF_SECONDS)
        try:
            await self._templates.get(key, make)
        except InfraError as error:
            log.warning("KVM does not work here", error=str(error))
            self._verdicts.write(works=False)
            slow = dataclasses.replace(key.shape, accelerator=Accelerator.EMULATION)
            return dataclasses.replace(key, shape=slow)
        self._verdicts.write(works=True)
        return key

    async def _make(
        self, key: Key, ground: Ground, seconds: float, target: Path, memory: int
    ) -> None:
        """Boot a machine and save it in `target`; its memory is the descriptor's."""
        async with self._booting:
            await self._starter.clear(TEMPLATE)
            self._starter.directory(TEMPLATE)
            running = self._starter.running(TEMPLATE)
            try:
                async with asyncio.timeout(seconds):
                    await self._boot(running, key, ground, memory)
                await self._finish(running, target, key.shape)
            except TimeoutError:
                raise InfraError(
                    f"it did not boot within {seconds:g} s", hint=self._starter.said(TEMPLATE)
                ) from None
            except InfraError as error:
                hint = self._starter.said(TEMPLATE) or error.hint
                raise InfraError(error.message, hint=hint) from error
            finally:
                running.hang_up()
                await asyncio.shield(self._starter.clear(TEMPLATE))

    async def _boot(self, running: Running, key: Key, ground: Ground, memory: int) -> None:
        identity = Identity(image=key.image, shape=key.shape, env=(), cpus=key.shape.cpus, pids=0)
        await self._starter.boot(TEMPLATE, running, identity, ground, key.disk, memory=memory)

    async def _finish(self, running: Running, target: Path, shape: Shape) -> None:
        """Save a machine that stands."""
        async with asyncio.timeout(BOOT_SECONDS):
            await _rehearse(running, has_system=bool(shape.init))
            await asyncio.sleep(_REST)
            await running.save(target / "devices", shared_memory=True, timeout=BOOT_SECONDS)
            await running.stop()
        for name, saved in (("disk.img", "disk"), ("console.log", "console.log")):
            source = self._place.directory(TEMPLATE) / name
            await asyncio.to_thread(rootfs.copy_sparse, source, target / saved)

    def close(self) -> None:
        self._templates.close()


async def _rehearse(running: Running, *, has_system: bool) -> None:
    """Do what clones will do first: its data is in memory then, and its files are open.

    Several times, until the interpreter inside has adapted its code to what it meets. Systemd is
    spared that: it does not restart its journal that often.
    """
    programs = (*[["/bin/sh", "-c", f"exec 2>&1; {_WARM}"]] * 2, *[["/bin/echo"]] * _TIMES)
    for number, argv in enumerate(programs):
        if number == 0 or not has_system:
            await running.port.renew(renewal.order(TEMPLATE, None))
        told = await running.port.exec(argv, env=ENVIRONMENT, cwd="/", pids=64, stdin=False)
        async for _piece in told.output():
            continue
        await told.wait()
