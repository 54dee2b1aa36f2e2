"""Writes a read-only file system (erofs) as its files come, in one pass and from nothing but names.

Nothing is unpacked on the host for it: a set-uid program or a device of somebody else's is never a
file of this computer, not even for a moment. The format is that of Linux's fs/erofs/erofs_fs.h,
without compression, extended attributes or any feature that a kernel must know: content first, a
block boundary for each file, then the inodes, then the directories.
"""

from __future__ import annotations

import dataclasses
import stat
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from cupel.errors import UserError

BLOCK = 4096
MOST_NODES = 2_000_000
"""Files, directories and links of an image: what is known of each is kept in memory."""

LONGEST_NAME = 255
LONGEST_TARGET = 4000
"""Bytes that a link's target may have: it lies beside its inode, in the same block."""

_MAGIC = 0xE0F5E1E2
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBB36x")
_SUPER_AT = 1024
_INODE = struct.Struct("<HHHHQIIIIQII16x")
_ENTRY = struct.Struct("<QHBx")
_SLOT = 32
_FIRST = 2
"""The number of the first inode, in slots: number 0 would mean none to readers of directories."""
_PLAIN, _INLINE = 1, 1 | 2 << 1
_KINDS = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFLNK: 7}
_PIECE = 1 << 20
_KEPT_BITS = 0o1777
"""Without set-uid and set-gid: a cache hands out no rights."""


@dataclasses.dataclass(slots=True)
class Node:
    """A file, directory or link. `mode` has its kind; `block` is where its content begins."""

    mode: int
    uid: int = 0
    gid: int = 0
    time: int = 0
    size: int = 0
    block: int = 0
    links: int = 1
    target: bytes = b""
    children: dict[bytes, Node] | None = None
    number: int = 0


def directory(mode: int = 0o755, uid: int = 0, gid: int = 0, time: int = 0) -> Node:
    return Node(stat.S_IFDIR | mode & _KEPT_BITS, uid, gid, time, children={})


class Writer:
    """Writes to `file`, which is empty. Paths are sequences of names; parents that were not named
    are made. Raises `UserError` for what no such file system can hold."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._root = directory()
        self._nodes = 1
        self._block = 1
        file.write(bytes(BLOCK))

    def directory(self, path: Sequence[bytes], node: Node) -> None:
        """A directory; one that is there already keeps what is in it."""
        if not path:
            node.children = self._root.children
            self._root = node
            return
        siblings = self._parent(path)
        there = siblings.get(path[-1])
        if there is not None and there.children is not None:
            node.children = there.children
        self._add(siblings, path[-1], node)

    def regular(self, path: Sequence[bytes], node: Node, content: BinaryIO) -> None:
        """A file with all of `content`."""
        node.mode = stat.S_IFREG | node.mode & _KEPT_BITS
        node.block = self._block
        while data := content.read(_PIECE):
            node.size += len(data)
            self._file.write(data)
        self._file.write(bytes(-node.size % BLOCK))
        self._block += -(-node.size // BLOCK)
        self._add(self._parent(path), path[-1], node)

    def link(self, path: Sequence[bytes], node: Node, target: bytes) -> None:
        """A symbolic link."""
        if not target or len(target) > LONGEST_TARGET:
            raise UserError(f"the target of a symbolic link has {len(target)} bytes")
        node.mode = stat.S_IFLNK | 0o777
        node.target, node.size = target, len(target)
        self._add(self._parent(path), path[-1], node)

    def name(self, path: Sequence[bytes], other: Sequence[bytes]) -> None:
        """Another name of a file or link that is there."""
        found = self._find(other)
        if found is None or found.children is not None:
            raise UserError("a hard link leads to what is not there")
        found.links += 1
        self._parent(path)[_checked(path[-1])] = found

    def finish(self) -> None:
        """Write the rest. The file is a whole image then, and not before."""
        base = self._block
        nodes = list(_walk(self._root))
        size = _number(nodes)
        top = base + -(-size // BLOCK)
        for node in nodes:
            if node.children is not None:
                node.links = 2 + sum(c.children is not None for c in node.children.values())
                node.block, node.size = top, _length(node)
                top += -(-node.size // BLOCK)
        self._write_inodes(nodes)
        for parent, node in _with_parents(self._root):
            self._seek_block(node.block)
            for block in _blocks(node, parent):
                self._file.write(block)
        self._file.truncate(top * BLOCK)
        self._file.seek(_SUPER_AT)
        self._file.write(_super(self._root.number, len(nodes), top, base))
        self._file.flush()

    def _write_inodes(self, nodes: Sequence[Node]) -> None:
        self._seek_block(self._block)
        at = 0
        for node in nodes:
            self._file.write(bytes(node.number * _SLOT - at))
            data = _inode(node) + node.target
            self._file.write(data)
            at = node.number * _SLOT + len(data)

    def _seek_block(self, block: int) -> None:
        self._file.seek(block * BLOCK)

    def _parent(self, path: Sequence[bytes]) -> dict[bytes, Node]:
        """What is in the directory of a path; whatever else is in its way gives way."""
        here = self._root.children
        assert here is not None
        for name in path[:-1]:
            found = here.get(name)
            if found is None or found.children is None:
                found = directory()
                self._add(here, name, found)
            assert found.children is not None
            here = found.children
        return here

    def _find(self, path: Sequence[bytes]) -> Node | None:
        node: Node | None = self._root
        for name in path:
            node = None if node is None or node.children is None else node.children.get(name)
        return node

    def _add(self, siblings: dict[bytes, Node], name: bytes, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise UserError(f"it has more than {MOST_NODES} files")
        siblings[_checked(name)] = node


def _checked(name: bytes) -> bytes:
    if not 0 < len(name) <= LONGEST_NAME or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise UserError(f"{name[:80]!r} is no name for a file")
    return name


def _walk(root: Node) -> Iterator[Node]:
    """Each node once, the root first."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if node.children is not None:
            waiting += node.children.values()


def _with_parents(root: Node) -> Iterator[tuple[Node, Node]]:
    """Each directory with the one that it is in."""
    waiting = [(root, root)]
    while waiting:
        parent, node = waiting.pop()
        yield parent, node
        assert node.children is not None
        waiting += [(node, c) for c in node.children.values() if c.children is not None]


def _number(nodes: Sequence[Node]) -> int:
    """Give each node its number, and room beside it for its target; the bytes of them all."""
    at = _FIRST * _SLOT
    for node in nodes:
        size = _INODE.size + len(node.target)
        if at // BLOCK != (at + size - 1) // BLOCK:  # neither may cross the end of a block
            at += -at % BLOCK
        node.number = at // _SLOT
        at += size
        at += -at % _SLOT
    return at


def _inode(node: Node) -> bytes:
    form = _INLINE if node.target else _PLAIN
    return _INODE.pack(
        form, 0, node.mode, 0, node.size, node.block, node.number & 0xFFFFFFFF,
        node.uid, node.gid, node.time, 0, node.links,
    )  # fmt: skip


def _grouped(node: Node) -> list[list[bytes]]:
    """The names in a directory as they share blocks, in the order in which they are looked up."""
    assert node.children is not None
    groups: list[list[bytes]] = [[]]
    room = BLOCK
    for name in sorted([b".", b"..", *node.children]):
        taken = _ENTRY.size + len(name)
        if taken > room:
            groups.append([])
            room = BLOCK
        groups[-1].append(name)
        room -= taken
    return groups


def _length(node: Node) -> int:
    """The bytes of a directory: its blocks, of which the last one ends with its last name."""
    groups = _grouped(node)
    return (len(groups) - 1) * BLOCK + sum(_ENTRY.size + len(name) for name in groups[-1])


def _blocks(node: Node, parent: Node) -> Iterator[bytes]:
    assert node.children is not None
    there = {b".": node, b"..": parent, **node.children}
    for names in _grouped(node):
        at = _ENTRY.size * len(names)
        entries = bytearray()
        for name in names:
            kind = _KINDS[stat.S_IFMT(there[name].mode)]
            entries += _ENTRY.pack(there[name].number, at, kind)
            at += len(name)
        yield bytes(entries + b"".join(names)).ljust(BLOCK, b"\0")


def _super(root: int, count: int, blocks: int, base: int) -> bytes:
    return _SUPER.pack(
        _MAGIC, 0, 0, BLOCK.bit_length() - 1, 0, root, count, 0, 0, blocks, base, 0,
        b"", b"cupel cache", 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
