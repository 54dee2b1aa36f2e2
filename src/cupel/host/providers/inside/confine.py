"""What the machine's init gives up for good once it stands, and with it all that it starts.

Done once for each machine, not for each process: what follows is inherited.
"""

from __future__ import annotations

import os
from pathlib import Path

from cupel.host.providers.inside import landlock, seccomp, syscalls

_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")

CAPABILITIES = {
    0: "chown: packages and tar give files to their owners",
    1: "dac_override: root writes files of others, as every installer expects",
    3: "fowner: chmod of files of others, for the same",
    4: "fsetid: keeps set-group-id bits that packages set",
    5: "kill: a test's root stops daemons that run as other users",
    6: "setgid: su, apt and daemons become other groups",
    7: "setuid: su, apt and daemons become other users",
    8: "setpcap: lets programs drop capabilities, as daemons do",
    10: "net_bind_service: test servers on ports below 1024",
    18: "sys_chroot: builders of packages; it leads nowhere but below the machine's root",
    31: "setfcap: packages such as ping set capabilities of files, which hold inside only",
}
"""Those that builds keep, with the reason; all others are gone. Not dac_read_search: it opens files
by handle; not mknod, net_raw, net_admin, sys_ptrace, audit_write: what needs them needs a VM."""

PROGRAMS = {
    kept: seccomp.program(os.uname().machine, keep_core_limit=kept) for kept in (False, True)
}
"""Assembled when the launcher starts, for all machines."""


def for_good(*, keep_core_limit: bool) -> None:
    """Give up what builds must not have. The mounts must be as they are to stay."""
    for capability in range(int(_LAST_CAPABILITY.read_text()) + 1):
        if capability not in CAPABILITIES:
            syscalls.drop_from_bounding_set(capability)
    syscalls.limit_capabilities(sum(1 << capability for capability in CAPABILITIES))
    syscalls.no_new_privileges()
    version = landlock.version()
    if version >= landlock.OLDEST:
        landlock.confine(version)
    if (program := PROGRAMS[keep_core_limit]) is not None:
        seccomp.install(program)
