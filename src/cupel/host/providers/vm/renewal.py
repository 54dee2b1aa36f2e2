"""What makes a machine unlike every other of its template: the order that it gets first."""

from __future__ import annotations

import secrets
import time
import uuid
from pathlib import Path

from cupel.host.providers.namespace import network
from cupel.host.providers.namespace import place as places
from cupel.host.providers.vm import qemu
from cupel.host.providers.vm.guest.renew import SHOWN_BOOT_ID


def order(machine: int, grant: network.Grant | None) -> dict[str, object]:
    """See `guest.renew`."""
    name, files = places.names(machine, qemu.RESOLVER if grant else None)
    files["etc/machine-id"] = f"{uuid.uuid4().hex}\n"
    files[SHOWN_BOOT_ID] = f"{uuid.uuid4()}\n"
    for path, source in grant.copies if grant else ():
        files[path.lstrip("/")] = Path(source).read_text(errors="replace")
    mac = bytes([0x52, 0x54, 0x00, *secrets.token_bytes(3)]).hex(":")
    address = {
        "mac": mac,
        "address": qemu.ADDRESS,
        "netmask": qemu.NETMASK,
        "gateway": qemu.GATEWAY,
    }
    return {
        "entropy": secrets.token_bytes(64),
        "time": time.time(),
        "hostname": name,
        "files": {f"/{path}": text.encode() for path, text in files.items()},
        "network": address if grant else None,
    }


def go_on() -> dict[str, object]:
    """For a machine that is the same again, only later."""
    return {"time": time.time()}
