"""A second wall around the machine's files, where the kernel has Landlock.

The machine's root is all that can be walked to, by its mount namespace. What that does not cover is
a *descriptor* of a directory elsewhere that finds its way inside, as in runc's CVE-2024-21626.
Under this ruleset nothing can be opened but below the machine's root, however one gets there, and
no mount can be changed. From the sixth version on it also keeps signals and abstract sockets to the
machine.
"""

from __future__ import annotations

import ctypes
import os
import struct

from cupel.host.providers.inside import syscalls

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION = 1
_PATH_BENEATH = 1
_FILE_RIGHTS = {2: 14, 3: 15, 5: 16}
"""How many rights to files there are from which version on."""
_SCOPES = 3
"""Abstract sockets and signals."""
OLDEST = 2
"""The first version did not let files be moved between directories, whatever one granted."""


def version() -> int:
    """The version of the kernel's Landlock; 0 for none."""
    try:
        return syscalls.call(_CREATE_RULESET, 0, 0, _VERSION, what="landlock")
    except OSError:
        return 0


def confine(known: int) -> None:
    """Keep this process and all that it starts below `/`; `known` is at least `OLDEST`."""
    rights = (1 << max(count for since, count in _FILE_RIGHTS.items() if since <= known)) - 1
    attributes = struct.pack("=Q", rights)
    if known >= 6:
        attributes += struct.pack("=QQ", 0, _SCOPES)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = syscalls.call(
        _CREATE_RULESET, ctypes.addressof(buffer), len(attributes), 0, what="landlock ruleset"
    )
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, root), 12)
        address = ctypes.addressof(rule)
        syscalls.call(_ADD_RULE, ruleset, _PATH_BENEATH, address, 0, what="landlock rule")
        syscalls.call(_RESTRICT_SELF, ruleset, 0, what="landlock")
    finally:
        os.close(root)
        os.close(ruleset)
