"""The initial RAM file system of guests: this very Python, our agent, and the drivers.

An interpreter, because images need not have one, and because a compiler is a thing that hosts need
not have: the program that runs here, the libraries that it is linked to, and the modules that the
agent imports are copied. A loader of their own comes with them, so the image's libraries do not
matter.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import py_compile
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel import process
from cupel.errors import InfraError

_SOURCES = Path(__file__).parents[4]
_ENTRY = "cupel.host.providers.vm.guest.boot"
_LIST = (
    f"import sys, json; sys.path.insert(0, sys.argv[1]); import {_ENTRY}; "
    "print(json.dumps({n: m.__file__ for n, m in sys.modules.items()"
    " if getattr(m, '__file__', None)}))"
)
_CODECS = ("encodings.utf_8", "encodings.ascii", "encodings.latin_1", "encodings.aliases")
_LIBRARY = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)
_LOADER = re.compile(r"^\s*(/\S*ld-\S+)", re.MULTILINE)
HOME = "/cupel"
COMMAND = (
    "--library-path", f"{HOME}/lib", f"{HOME}/python", "-SsB", f"{HOME}/boot.pyc",
)  # fmt: skip
"""What follows the loader, which is `rdinit`. Not as `-s`, which asks systemd for rescue."""
LOADER = f"{HOME}/loader"
ENVIRONMENT = {"PYTHONHOME": HOME, "PYTHONPATH": f"{HOME}/site"}


async def write(target: Path, modules: Sequence[tuple[str, bytes]]) -> None:
    """Write a RAM file system with these kernel modules, to be loaded in this order."""
    files = await _interpreter()
    for name, content in modules:
        files[f"cupel/modules/{name}"] = content
    order = "\n".join(name for name, _ in modules)
    files["cupel/modules/order"] = order.encode()
    temporary = target.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(archive(files))
    temporary.replace(target)


def fingerprint() -> str:
    """What the agent in it is made of, as a digest: this Python and the agent's sources."""
    program = Path(sys.executable).resolve().stat()
    digest = hashlib.sha256(f"{sys.version} {program.st_size} {program.st_mtime_ns}".encode())
    for directory in (Path(__file__).parent / "guest", Path(__file__).parents[1] / "inside"):
        for path in (Path(__file__), *sorted(directory.glob("*.py"))):
            digest.update(path.read_bytes())
    return digest.hexdigest()


async def _interpreter() -> dict[str, bytes]:
    program = Path(sys.executable).resolve()
    extra = "".join(f"import {name}; " for name in _CODECS)
    command: list[str | Path] = [program, "-I", "-S", "-c", extra + _LIST, _SOURCES]
    listed = await process.run(command, env={}, timeout=60)
    sources: dict[str, str] = json.loads(listed.out)
    files = {"cupel/python": program.read_bytes()}
    extensions = []
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name, source in sources.items():
        path = Path(source)
        if path.suffix == ".so":
            extensions.append(path)
            place = f"cupel/lib/{version}/lib-dynload/{path.name}"
            files[place] = path.read_bytes()
        elif path.suffix == ".py":
            top = "site" if name.split(".")[0] == "cupel" else f"lib/{version}"
            inner = name.replace(".", "/") + ("/__init__" if path.stem == "__init__" else "")
            files[f"cupel/{top}/{inner}.pyc"] = _compiled(path)
    files["cupel/boot.pyc"] = _compiled(Path(sources[_ENTRY]))
    # Python looks for this file to know where its library is.
    files[f"cupel/lib/{version}/os.py"] = b""
    return files | await _libraries([program, *extensions])


async def _libraries(programs: Sequence[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for program in programs:
        linked = await process.run(["ldd", program], env={"LC_ALL": "C"}, timeout=60)
        text = linked.out.decode()
        for name, path in _LIBRARY.findall(text):
            found[f"cupel/lib/{name}"] = Path(path).read_bytes()
        if (loader := _LOADER.search(text)) is not None:
            found["cupel/loader"] = Path(loader[1]).read_bytes()
    if "cupel/loader" not in found:
        raise InfraError(f"{programs[0]} has no loader that a virtual machine could use")
    return found


def _compiled(source: Path) -> bytes:
    """The byte code of a module, which needs no source beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "module.pyc"
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(
            str(source), str(target), dfile=source.name, doraise=True, invalidation_mode=mode
        )
        return target.read_bytes()


def archive(files: Mapping[str, bytes]) -> bytes:
    """A cpio archive in the format that the kernel unpacks (newc), with every parent directory."""
    out = io.BytesIO()
    directories = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(name, 0o40755, b"") for name in directories]
    entries += [(name, 0o100755, content) for name, content in sorted(files.items())]
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        encoded = os.fsencode(name) + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(content)
        out.write(b"\0" * (-out.tell() % 4))
    return out.getvalue()
