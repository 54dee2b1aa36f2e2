"""Whether KVM works here: only a guest that has booted proves it, not a device that opens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from cupel.host.providers.vm.qemu import Accelerator

DEVICE = Path("/dev/kvm")


def proved(path: Path) -> bool | None:
    """What was found out last on this kernel, with whatever software; None if nothing."""
    try:
        known = json.loads(path.read_text())
        same = str(known["key"]).startswith(f"{os.uname().release} ")
        return bool(known["works"]) if same else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


class Verdicts:
    """What was proved, kept by the host's kernel and the guests' software."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = ""
        self._works: bool | None = None

    def look(self, software: str) -> None:
        """Read what is known for this software."""
        key = f"{os.uname().release} {software}"
        if key != self._key:
            self._key = key
            self._works = self._read()

    def _read(self) -> bool | None:
        try:
            known = json.loads(self._path.read_text())
            return bool(known["works"]) if known["key"] == self._key else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    @property
    def is_open(self) -> bool:
        return self._works is None

    @property
    def accelerator(self) -> Accelerator:
        """What to use, or what to try while nothing is proved."""
        if not os.access(DEVICE, os.R_OK | os.W_OK) or self._works is False:
            return Accelerator.EMULATION
        return Accelerator.KVM

    def write(self, *, works: bool) -> None:
        self._works = works
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps({"key": self._key, "works": works}))
        temporary.replace(self._path)

    def notes(self, used: Accelerator) -> Sequence[str]:
        if used is Accelerator.KVM:
            return []
        why = "no guest boots with KVM" if DEVICE.exists() else f"there is no {DEVICE}"
        return [f"the machine is emulated, which is several times slower: {why} here"]
