"""What builds may not ask of the kernel, and why: the reviewed list behind the seccomp filter.

Everything not named here is allowed, up to `NEWEST`: a call that a later kernel adds does not exist
for builds until somebody has looked at it and raised that number. Most of these calls would fail
without the capabilities that builds lack; the filter stands before the kernel's code runs, which
is where its faults are.
"""

from __future__ import annotations

import dataclasses
import errno

NEWEST = 466
"""removexattrat, Linux 6.13. Up to here each call was looked at; beyond, there is none (ENOSYS)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Calls that fail with EPERM, and the reason."""

    reason: str
    calls: tuple[str, ...]


FAMILIES = (
    Family(
        "The mount API has been the way out of containers most often (CVE-2022-0185, -0492), and "
        "what is read-only or hidden inside is so by mounts alone.",
        ("mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig",
         "fsmount", "fspick", "mount_setattr"),
    ),
    Family(
        "Joining a namespace is how one leaves one's own. Making them is refused by their flags.",
        ("setns",),
    ),
    Family(
        "Files by handle ignore the root directory (Docker's “shocker” read any file of the host).",
        ("open_by_handle_at", "name_to_handle_at"),
    ),
    Family(
        "Loading code into the kernel, or another kernel.",
        ("init_module", "finit_module", "delete_module", "create_module", "query_module",
         "get_kernel_syms", "kexec_load", "kexec_file_load"),
    ),
    Family(
        "Programs that run in the kernel: its verifier's faults were privilege for everybody "
        "(CVE-2021-3490, CVE-2020-8835).",
        ("bpf",),
    ),
    Family(
        "Counters of the whole computer, addresses of the kernel, many faults (CVE-2013-2094).",
        ("perf_event_open", "lookup_dcookie"),
    ),
    Family(
        "Keyrings belong to users, not to namespaces of their own (CVE-2016-0728).",
        ("add_key", "request_key", "keyctl"),
    ),
    Family(
        "Stops the kernel in the middle of a copy, which turned small races into exploits.",
        ("userfaultfd",),
    ),
    Family(
        "A second system call table past this filter: what is queued is not looked at here "
        "(CVE-2021-41073, CVE-2022-29582).",
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
    ),
    Family(
        "Lends the pages of a process to a pipe; a child could read what its parent wrote later "
        "(CVE-2020-29374). splice and tee, which programs do use, stay.",
        ("vmsplice",),
    ),
    Family(
        "Watches that answer for other processes' files; inotify, which programs use, stays.",
        ("fanotify_init", "fanotify_mark"),
    ),
    Family(
        "The computer itself: its power, swap, clock, names, accounting, quotas, log and consoles.",
        ("reboot", "swapon", "swapoff", "settimeofday", "clock_settime", "clock_adjtime",
         "sethostname", "setdomainname", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup"),
    ),
    Family("Ports and segments of the processor.", ("iopl", "ioperm", "modify_ldt")),
    Family(
        "Left over from other times, used by nobody, looked after by nobody.",
        ("uselib", "ustat", "sysfs", "_sysctl", "nfsservctl", "getpmsg", "putpmsg", "afs_syscall",
         "tuxcall", "security", "vserver"),
    ),
)  # fmt: skip

# ptrace, process_vm_readv and their kin stay: debuggers, strace and sanitizers use them in tests,
# and they end at the machine's pid namespace; its init is out of their reach by being undumpable.

NAMESPACES = 0x7E020000
"""The flags of clone and unshare that make namespaces, without that of time."""
NAMESPACE_OF_TIME = 0x80
"""Of unshare alone: in clone these bits are the signal."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0x40008, 0xFFFFFFFF)
"""Linux, its 32-bit name, old version numbers, and addresses at fixed places, as debuggers ask."""

TERMINALS = (0x5412, 0x541C)
"""TIOCSTI types into a terminal for its owner (CVE-2017-5226), TIOCLINUX pastes into a console."""

FAMILIES_OF_SOCKETS = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, netlink. vsock talks to the hypervisor past every network namespace; the others
(AF_ALG, packet, CAN, TIPC, RDS …) are protocols of which each has had its holes."""
NETLINK = 16
PROTOCOLS_OF_NETLINK = (0, 4, 15, 16)
"""Routes, socket diagnosis, device events, generic; not netfilter (CVE-2022-32250, -2024-1086)."""

RLIMIT_CORE = 4

WITHOUT_CLONE3 = errno.ENOSYS
"""Its flags lie in memory, where a filter can't look; libraries fall back on clone."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""By their numbers for audit. A program of another architecture (i386 on x86_64) gets SIGSYS."""

# By name: the numbers on x86_64 and aarch64, None where the call does not exist.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "afs_syscall": (183, None),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "getpmsg": (181, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "putpmsg": (182, None),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "security": (185, None),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setrlimit": (160, 164),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "tuxcall": (184, None),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
    "vserver": (236, None),
}


def number(name: str, machine: str) -> int | None:
    """The number of a call on an architecture of `ARCHITECTURES`."""
    return NUMBERS[name][tuple(ARCHITECTURES).index(machine)]
