"""The caches of one build: given to its machine before its first step, saved after its last."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cupel.errors import CupelError, UserError
from cupel.host.caches.store import Caches
from cupel.host.messages import BuildSpec, CacheSpec, CacheUse
from cupel.host.providers import archive
from cupel.host.providers.interface import Machine

SOURCE = "/build/src"

_MARK = "/build/.caches"
_TOUCH = 'touch "$1"'
_CHANGED = 'mark=$1; shift; [ -n "$(find "$@" -newer "$mark" -print 2>/dev/null | head -n 1)" ]'
# Some of several may not have been made; none of them is nothing to keep.
_THERE = 'for path; do [ -d "$path" ] && found=1; done; [ -n "$found" ] && mkdir -p -- "$@"'

Tell = Callable[[str], Awaitable[None]]


class Keeping:
    """A build's caches. `tell` gets a line for its log. Nothing here fails the build."""

    def __init__(self, machine: Machine, build: BuildSpec, caches: Caches, tell: Tell) -> None:
        self._machine = machine
        self._build = build
        self._caches = caches
        self._tell = tell
        self._uses: dict[str, CacheUse] = {}

    @property
    def uses(self) -> tuple[CacheUse, ...]:
        """What became of each, so far."""
        return tuple(self._uses.values())

    async def restore(self) -> None:
        """Give the machine what there is. Raises `InfraError` when it is gone."""
        if self._build.caches and not self._machine.lays:
            await self._tell("caches: there are none on this machine")
            return
        for spec in self._build.caches:
            use = await self._restore(spec)
            self._uses[spec.name] = use
            if use.withheld:
                await self._tell(f"cache {spec.name}: not restored: {use.withheld}")
            elif use.restored is not None:
                took = f"{use.size / 1e6:.1f} MB in {use.seconds * 1000:.0f} ms"
                await self._tell(f"cache {spec.name}: restored from build {use.restored}, {took}")
            else:
                await self._tell(f"cache {spec.name}: nothing is there to restore")
        if any(use.restored is not None for use in self._uses.values()):
            await self._run(_TOUCH, [_MARK])

    async def _restore(self, spec: CacheSpec) -> CacheUse:
        use = CacheUse(name=spec.name)
        if not spec.restore:
            return use
        image = self._caches.find(spec.restore)
        if image is None:
            return dataclasses.replace(use, withheld="this host has it no more")
        size = image.stat().st_size
        started = time.monotonic()
        try:
            await self._machine.lay(image, _places(spec))
        except UserError as error:
            return dataclasses.replace(use, withheld=error.message)
        return dataclasses.replace(
            use,
            restored=spec.origin,
            exact=spec.exact,
            size=size,
            seconds=time.monotonic() - started,
        )

    async def save(self) -> None:
        """Keep what the build, which has passed, left."""
        for spec in self._build.caches:
            if spec.save and self._machine.lays:
                use = self._uses[spec.name]
                try:
                    saved = await self._save(spec, use)
                    use = dataclasses.replace(use, saved=saved)
                    await self._tell(f"cache {spec.name}: saved, {saved / 1e6:.1f} MB")
                except (CupelError, OSError) as error:
                    why = error.message if isinstance(error, CupelError) else str(error)
                    use = dataclasses.replace(use, unsaved=why)
                    await self._tell(f"cache {spec.name}: not saved: {why}")
                self._uses[spec.name] = use

    async def _save(self, spec: CacheSpec, use: CacheUse) -> int:
        places = _places(spec)
        if not await self._run(_THERE, places):
            raise UserError(f"there is no directory {' or '.join(spec.paths)}")
        unchanged = spec.if_changed and use.restored is not None
        if unchanged and not await self._run(_CHANGED, [_MARK, *places]):
            raise UserError("nothing has changed in it")
        tars = [self._machine.copy_out(place) for place in places]
        return await self._caches.save(spec.save, tars, limit=spec.limit)

    def discard(self) -> None:
        """Remove what was saved, for the build has not passed after all."""
        for spec in self._build.caches:
            use = self._uses.get(spec.name)
            if use is not None and use.saved is not None:
                self._caches.remove(spec.save)
                self._uses[spec.name] = dataclasses.replace(use, saved=None)

    async def _run(self, script: str, words: Sequence[str]) -> bool:
        """Whether a script passes on the machine."""
        process = await self._machine.exec(["/bin/sh", "-c", script, "sh", *words], env={}, cwd="/")
        await archive.said(process)
        return await process.wait() == 0


def _places(spec: CacheSpec) -> list[str]:
    """Where its directories are on the machine."""
    return [str(Path(SOURCE, path)) for path in spec.paths]
